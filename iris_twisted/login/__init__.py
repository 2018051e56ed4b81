"""
Logging in to the platform, from an app key to ringing calls (protocol.md section 8).
"""

from .auth_manager import AuthManagerClient, Login
from .identity_manager import IdentityManagerClient
from .notification_manager import NotificationManagerClient
from .platform_login import LoggedIn, PlatformLogin

__all__ = [
    "AuthManagerClient",
    "IdentityManagerClient",
    "LoggedIn",
    "Login",
    "NotificationManagerClient",
    "PlatformLogin",
]
