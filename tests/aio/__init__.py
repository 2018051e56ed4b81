"""
For programs on asyncio.
"""
