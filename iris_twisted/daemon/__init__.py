"""
What C{twist iris} runs: many connections, their calls in sinks, and what operators want
to see of it.
"""
