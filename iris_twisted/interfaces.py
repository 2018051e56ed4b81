"""
Every interface of the house.

A method says when it is called, by whom, and how it fails. Nothing here imports an
implementation.
"""

from .connection_interfaces import IIrisListener, IRetryPolicy
from .discovery_interfaces import IEventManager
from .net_interfaces import ITlsTrust
from .rtc_interfaces import INotificationSyntax
from .sinks.interfaces import INotificationSink, INotificationSinkProvider
from .transport_interfaces import IMessageReceiver, IMessageTransport, ITransportProvider
from .xmpp_interfaces import IXmppSession

__all__ = [
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
