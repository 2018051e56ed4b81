"""
Where calls go.
"""
