"""
A hostile network, and hostile servers, between the client and the sandbox.
"""
