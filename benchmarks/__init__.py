"""
Measurements: ratios within one run, on one machine; nothing is judged here.
"""
