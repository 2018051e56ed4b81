"""
The sandbox.
"""
