"""
Where calls go: the sinks, and what each of them promises.
"""
