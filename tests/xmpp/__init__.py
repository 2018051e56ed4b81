"""
Floor 3.
"""
