"""
Floor 5: L{IrisRtcConnection}, its lifecycle, retries and tokens.
"""

from .connection import IrisListener, IrisRtcConnection

__all__ = ["IrisListener", "IrisRtcConnection"]
