"""
Logging in.
"""
