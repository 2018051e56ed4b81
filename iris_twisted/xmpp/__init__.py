"""
Floor 3, XMPP without I/O: elements, the stream's parser, SASL, IQ tracking and
the session that is made of them (RFC 6120, RFC 7395).

Theory of operation: an L{XmppSession<iris_twisted.xmpp.session.XmppSession>} is
given the bytes of each message and returns events; what it wants to say waits in
a queue that the caller empties. It owns no socket, no timer and no reactor, so
its tests run in microseconds and any input can be cut anywhere.
"""
