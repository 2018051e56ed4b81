"""
What a server says about its errors.
"""

from __future__ import annotations

from typing import Any

__all__ = ["serverMessage"]


def serverMessage(answer: Any, *secrets: str) -> str:
    """
    The server's own words, in brackets, fit to be shown.

    @param answer: its JSON, C{{"error": {"message": ...}}} or C{{"message": ...}}.
    @param secrets: what it may repeat and must not be shown.
    """
    error = answer.get("error", answer) if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    if not isinstance(message, str) or not message.strip():
        return ""
    for secret in filter(None, secrets):
        message = message.replace(secret, "...")
    shown = "".join(c if c.isprintable() else " " for c in message)
    return f" ({shown.strip()[:200]})"
