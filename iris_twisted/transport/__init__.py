"""
Floor 2, transport: text messages in and out. Websockets are built in; others
plug in through L{ITransportProvider<iris_twisted.interfaces.ITransportProvider>}.
"""

from .registry import TransportRegistry

__all__ = ["TransportRegistry"]
