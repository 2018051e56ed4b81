"""
Secrets in files.
"""

from __future__ import annotations

from ..errors import IncorrectParameters
from .addresses import checkToken

__all__ = ["readSecretFile", "readToken"]

_LONGEST = 64 * 1024


def readToken(path: str) -> str:
    """
    The token in a file, without the white space around it.

    @raise IncorrectParameters: naming the file and what is wrong with it.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_LONGEST + 1)
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else str(e)
        raise IncorrectParameters(f"the token file {path!r} cannot be read: {reason}") from None
    if len(content) > _LONGEST:
        raise IncorrectParameters(f"the token file {path!r} is too large to hold a token")
    return checkToken(f"the token in {path!r}", content.decode("utf-8", "replace").strip())


def readSecretFile(what: str, path: str) -> str:
    """
    A secret in a file: its first line, and nothing else may follow.

    @param what: as in "the password", for errors.
    @raise IncorrectParameters: naming the file and what is wrong with it.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(_LONGEST + 1).decode("utf-8")
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is no text"
        raise IncorrectParameters(f"{what} in {path!r} cannot be read: {reason}") from None
    line, _, rest = text.partition("\n")
    line = line.rstrip("\r")
    if not line or rest.strip() or len(text) > _LONGEST or not line.isprintable():
        raise IncorrectParameters(f"{what} in {path!r} must be one line of text")
    return line
