"""
Where calls go: to stdout, a file, a program, a webhook, a broker, or to what a plugin brings.
"""

from .checking import checkSinks
from .context import SinkContext
from .formats import Encoded
from .record import CallRecord
from .registry import makeSink, sinkProviders

__all__ = ["CallRecord", "Encoded", "SinkContext", "checkSinks", "makeSink", "sinkProviders"]
