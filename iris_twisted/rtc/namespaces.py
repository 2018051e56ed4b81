"""
The namespaces of private IQs.
"""

__all__ = ["IRIS", "PRIVATE"]

PRIVATE = "jabber:iq:private"
IRIS = "urn:xmpp:comcast:info"
