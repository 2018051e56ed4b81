"""
What is owed to the sinks.
"""
