"""
Connections as services.
"""
