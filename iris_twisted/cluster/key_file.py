"""
The key that every member has, and the database does not: it encrypts what is secret there.

The file holds a key a line, the newest first. The first one encrypts, and all decrypt: that
is how keys are rotated. A file that was changed is read again as soon as the keys at hand do
not suffice.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ..errors import IncorrectParameters

__all__ = ["Keys", "addKey"]

_LONGEST = 64 * 1024


def _lines(path: str) -> list[str]:
    """
    The keys in a file.

    @raise IncorrectParameters: naming the file and what is wrong with it.
    """
    try:
        with open(path, encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_LONGEST)
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is no text"
        raise IncorrectParameters(f"the key file {path!r} cannot be read: {reason}") from None
    if stat.S_ISREG(mode) and mode & 0o077:
        raise IncorrectParameters(
            f"the key file {path!r} can be read by others: make its mode 0600"
        )
    return [line.strip() for line in text.splitlines() if line.strip()]


def addKey(path: str) -> int:
    """
    Make a key file, or put a new key before those in it.

    @return: how many it holds now.
    @raise IncorrectParameters: when it cannot be read or written.
    """
    keys = _lines(path) if os.path.exists(path) else []
    keys.insert(0, Fernet.generate_key().decode())
    fresh = f"{path}.new"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with os.fdopen(os.open(fresh, flags, 0o600), "w") as file:
            file.write("\n".join(keys) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(fresh, path)
    except OSError as e:
        raise IncorrectParameters(
            f"the key file {path!r} cannot be written: {e.strerror}"
        ) from None
    return len(keys)


class Keys:
    """
    @param path: of the key file.
    @raise IncorrectParameters: naming it, and what is wrong with it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._read()

    def _read(self) -> None:
        path = self.path
        self._known = self._version()
        lines = _lines(path)
        if not lines:
            raise IncorrectParameters(f"the key file {path!r} holds no key")
        try:
            self._fernet = MultiFernet([Fernet(line) for line in lines])
        except ValueError:
            raise IncorrectParameters(
                f"the key file {path!r} holds a line that is no key: make one with twist "
                "iris-cluster key"
            ) from None

    def _version(self) -> tuple[int, ...] | None:
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    @property
    def areOld(self) -> bool:
        """Whether the file was changed since it was read."""
        return self._version() not in (None, self._known)

    def encrypt(self, routingId: str, secrets: Mapping[str, Any]) -> bytes:
        """
        @param routingId: whose; the secrets of one are none for another.
        """
        whole = {"routing-id": routingId.lower(), **secrets}
        return self._fernet.encrypt(json.dumps(whole).encode())

    def decrypt(self, routingId: str, secret: bytes) -> dict[str, Any]:
        """
        @raise IncorrectParameters: when none of the keys did encrypt it, or not for this
            account.
        """
        try:
            whole: dict[str, Any] = json.loads(self._decrypted(secret))
        except InvalidToken:
            raise IncorrectParameters(
                f"no key in {self.path!r} decrypts the secrets of {routingId}"
            ) from None
        if whole.pop("routing-id", None) != routingId.lower():
            raise IncorrectParameters(f"the secrets of {routingId} are those of another account")
        return whole

    def _decrypted(self, secret: bytes) -> bytes:
        try:
            return self._fernet.decrypt(secret)
        except InvalidToken:
            if not self.areOld:
                raise
        self._read()
        return self._fernet.decrypt(secret)

    def rotate(self, secret: bytes) -> bytes:
        """
        The same, encrypted with the newest key.

        @raise IncorrectParameters: when none of the keys did encrypt it.
        """
        try:
            return self._fernet.rotate(secret)
        except InvalidToken:
            raise IncorrectParameters(f"no key in {self.path!r} decrypts all secrets") from None
