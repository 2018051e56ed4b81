"""
The plugin: an instance in this module is all that it takes.
"""

from iris_twisted_tcp import TlsStreamTransport

tlsStreamTransport = TlsStreamTransport()
