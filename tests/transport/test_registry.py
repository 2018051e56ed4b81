"""
L{iris_twisted.transport.registry}: transports are plugins.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.transport import TransportRegistry
from iris_twisted.transport.websocket import WebSocketTransport


class Registry(SynchronousTestCase):
    """Transports as plugins."""

    def test_plugins(self) -> None:
        """The websocket transport comes through the same door as any other."""
        registry = TransportRegistry()
        self.assertEqual({"wss", "ws"} - set(registry.schemes), set())
        provider = registry.serving(registry.schemes["wss"])
        self.assertIsInstance(provider, WebSocketTransport)

    def test_given(self) -> None:
        """Given ones are the only ones."""
        self.assertEqual(TransportRegistry([]).schemes, {})
