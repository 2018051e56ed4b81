"""
Every interface of the house.

A method says when it is called, by whom, and how it fails. Nothing here imports an
implementation.
"""

from .connection.interfaces import IIrisListener, IRetryPolicy
from .discovery.interfaces import IEventManager
from .net.interfaces import ITlsTrust
from .rtc.interfaces import INotificationSyntax
from .sinks.interfaces import (
    IAskingSink,
    ICheckedSink,
    INotificationSink,
    INotificationSinkProvider,
    IOrderedSink,
)
from .transport.interfaces import IMessageReceiver, IMessageTransport, ITransportProvider
from .xmpp.interfaces import IXmppSession

__all__ = [
    "IAskingSink",
    "ICheckedSink",
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
