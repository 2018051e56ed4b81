"""
Who may look at a daemon over HTTP, and who may reject calls there: a file of names, rights
and hashes of passwords, and the guard before the console and the metrics.
"""

from .file import Operator, Right, changeOperators, readOperators
from .guard import Access

__all__ = ["Access", "Operator", "Right", "changeOperators", "readOperators"]
