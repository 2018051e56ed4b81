"""
The built-in transport, through the same door as any other.
"""

from iris_twisted.transport.websocket import WebSocketTransport

webSocketTransport = WebSocketTransport()
