"""
Connections as services: one, or many in one process.
"""

from .fleet import IrisFleet
from .service import IrisRtcService

__all__ = ["IrisFleet", "IrisRtcService"]
