"""
Where calls go: to stdout, a file, a program, a webhook, or to what a plugin brings.
"""

from .context import SinkContext
from .record import CallRecord
from .registry import makeSink, sinkProviders

__all__ = ["CallRecord", "SinkContext", "makeSink", "sinkProviders"]
