"""
A client for the connection of Comcast's Iris RTC platform, on Twisted.

The public face: everything an application needs stands here.
"""

from .connection.connection import IrisListener, IrisRtcConnection
from .connection.retry import FullJitter
from .connection.state import ConnectionState
from .connection.stats import Stats
from .discovery.server_info import IceServer, ServerInfo, TurnCredentials
from .errors import (
    ApiParameters,
    BackendError,
    ConnectionFailed,
    IncorrectParameters,
    InvalidState,
    IrisError,
    NotConnected,
    NotSupported,
    TokenRefused,
)
from .fleet.fleet import IrisFleet
from .fleet.service import IrisRtcService
from .net.limits import Limits
from .version import __version__

__all__ = [
    "ApiParameters",
    "BackendError",
    "ConnectionFailed",
    "ConnectionState",
    "FullJitter",
    "IceServer",
    "IncorrectParameters",
    "InvalidState",
    "IrisError",
    "IrisFleet",
    "IrisListener",
    "IrisRtcConnection",
    "IrisRtcService",
    "Limits",
    "NotConnected",
    "NotSupported",
    "ServerInfo",
    "Stats",
    "TokenRefused",
    "TurnCredentials",
    "__version__",
]
