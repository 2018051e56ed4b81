"""
Floor 5.
"""
