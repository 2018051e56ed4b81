"""
A client for the connection of Comcast's Iris RTC platform, on Twisted.

The public face: everything an application needs stands here.
"""

from .connection import IrisListener, IrisRtcConnection
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
from .fleet import IrisFleet
from .limits import Limits
from .retry import FullJitter
from .server_info import IceServer, ServerInfo, TurnCredentials
from .state import ConnectionState
from .stats import Stats
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
    "Limits",
    "NotConnected",
    "NotSupported",
    "ServerInfo",
    "Stats",
    "TokenRefused",
    "TurnCredentials",
    "__version__",
]
