"""
What C{twist iris} runs.
"""
