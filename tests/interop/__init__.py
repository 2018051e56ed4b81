"""
Software that we did not write, as the peer. Each test says by name what is
missing; CI installs it.
"""
