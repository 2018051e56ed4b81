"""
A logger that says nothing.
"""

from __future__ import annotations

from typing import Any

__all__ = ["SilentLogger"]


class SilentLogger:
    """In the place of Autobahn's logger, which at debug level writes paths with their tokens."""

    def __getattr__(self, level: str) -> Any:
        return self._ignore

    def _ignore(self, *_: object, **__: object) -> None:
        pass
