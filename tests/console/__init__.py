"""
The console.
"""
