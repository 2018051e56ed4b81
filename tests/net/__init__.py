"""
Below all floors.
"""
