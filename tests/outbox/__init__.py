"""
What keeps the calls of an outbox.
"""
