"""
Floor 4.
"""
