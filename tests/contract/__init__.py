"""
The promises, through several floors.
"""
