"""
Floor 1, discovery: from an iris token and a routing id to a websocket server.
"""

from .client import EventManagerClient

__all__ = ["EventManagerClient"]
