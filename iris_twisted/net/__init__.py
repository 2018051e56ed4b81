"""
Below all floors: addresses, sockets, TLS, proxies, HTTP with bounds, time.
"""
