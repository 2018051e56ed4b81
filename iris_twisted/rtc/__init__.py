"""
Floor 4, the language of Iris: private IQs in, rejects and telemetry out. Pure.
"""
