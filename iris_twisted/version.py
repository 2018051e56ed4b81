"""
The version, in one place; setup.py reads it too.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
