"""
Floor 1.
"""
