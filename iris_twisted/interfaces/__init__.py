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
from .sinks import ICheckedSink, INotificationSink, INotificationSinkProvider

__all__ = [
    "ICheckedSink",
    "IEventManager",
    "IIrisListener",
    "IMessageReceiver",
    "IMessageTransport",
    "INotificationSink",
    "INotificationSinkProvider",
    "INotificationSyntax",
    "IRetryPolicy",
    "ITlsTrust",
    "ITransportProvider",
    "IXmppSession",
]
