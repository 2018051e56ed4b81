"""
Every interface of the house.

A method says when it is called, by whom, and how it fails. Nothing here imports an
implementation.
"""

from .floors import (
    IEventManager,
    IIrisListener,
    IMessageReceiver,
    IMessageTransport,
    INotificationSyntax,
    IRetryPolicy,
    ITlsTrust,
    ITransportProvider,
    IXmppSession,
)
from .sinks import INotificationSink, INotificationSinkProvider, IOrderedSink

__all__ = [
    "IEventManager",
    "IIrisListener",
    "IMessageReceiver",
    "IMessageTransport",
    "INotificationSink",
    "INotificationSinkProvider",
    "INotificationSyntax",
    "IOrderedSink",
    "IRetryPolicy",
    "ITlsTrust",
    "ITransportProvider",
    "IXmppSession",
]
