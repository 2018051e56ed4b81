"""
For the tests of applications.
"""
