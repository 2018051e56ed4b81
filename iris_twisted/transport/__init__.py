"""
Floor 2, transport: messages in and out. Websockets are built in; others plug in
through L{ITransportProvider<iris_twisted.interfaces.ITransportProvider>}, and find
here what they need besides: L{openTransport}, and L{explain} for what their sockets die of.
"""

from ..net.failures import explain
from .opening import Opening, openTransport
from .registry import TransportRegistry

__all__ = ["Opening", "TransportRegistry", "explain", "openTransport"]
