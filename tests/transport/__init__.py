"""
Floor 2.
"""
