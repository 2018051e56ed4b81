"""
The file of operators. Each of its lines is C{NAME:RIGHTS:HASH}, a comment (C{#}), or empty.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from unicodedata import is_normalized

import attrs

from ..errors import IncorrectParameters
from .hashes import checkHash

__all__ = ["Operator", "Right", "changeOperators", "checkName", "readOperators", "rightsOf"]

_LARGEST = 1024 * 1024
_LONGEST_NAME = 64
_HEAD = "# Who may look at twist iris: name:rights:hash. Made by twist iris-operator.\n"


class Right(Enum):
    """What an operator may do."""

    READ = "read"
    REJECT = "reject"


@attrs.frozen
class Operator:
    """
    Somebody who may look, or more.

    @ivar hash: of the password, see L{hashes}.
    """

    name: str
    rights: frozenset[Right]
    hash: str = attrs.field(repr=False)

    @property
    def mayReject(self) -> bool:
        """Whether calls too, besides looking at them."""
        return Right.REJECT in self.rights

    @property
    def shownRights(self) -> str:
        """The rights as in the file."""
        return ",".join(right.value for right in Right if right in self.rights)


def checkName(name: str) -> None:
    """
    @raise IncorrectParameters: when nobody can be called so, with half a sentence.
    """
    if not name or len(name) > _LONGEST_NAME:
        raise IncorrectParameters(f"must have a name of 1 to {_LONGEST_NAME} characters")
    # RFC 7617 section 2 ends the name at the first colon, and wants the form NFC.
    odd = ":" in name or name.startswith("#") or " " in name or not name.isprintable()
    if odd or not is_normalized("NFC", name):
        raise IncorrectParameters("must have a name without spaces, colons and a # in front")


def rightsOf(text: str) -> frozenset[Right]:
    """
    @param text: rights with commas.
    @raise IncorrectParameters: with half a sentence that says what they must be.
    """
    words = [word.strip() for word in text.split(",")]
    known = {right.value: right for right in Right}
    if not all(word in known for word in words):
        raise IncorrectParameters(f"must have rights of {', '.join(known)}, with commas")
    rights = frozenset(known[word] for word in words)
    if Right.READ not in rights:
        raise IncorrectParameters("must have the right to read: who rejects has to see the call")
    return rights


def _operators(path: str, text: str) -> dict[str, Operator]:
    found: dict[str, Operator] = {}
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{path}, line {number}"
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        # Nothing of a line that is wrong is shown: it may be somebody's password.
        if line.count(":") != 2:
            raise IncorrectParameters(f"{where} must be NAME:RIGHTS:HASH")
        name, rights, hash = line.split(":")
        try:
            checkName(name)
            operator = Operator(name, rightsOf(rights), hash)
            checkHash(hash)
        except IncorrectParameters as e:
            raise IncorrectParameters(f"{where} {e.message}") from None
        if name in found:
            raise IncorrectParameters(f"{where}: {name} is there already")
        found[name] = operator
    return found


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LARGEST + 1)
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else str(e)
        raise IncorrectParameters(f"the operators in {path!r} cannot be read: {reason}") from None
    if stat.S_ISREG(mode) and mode & 0o022:
        raise IncorrectParameters(
            f"{path!r} can be written by others, who could let themselves in: chmod 600 it"
        )
    if len(content) > _LARGEST:
        raise IncorrectParameters(f"{path!r} is too large to be a file of operators")
    try:
        return content.decode("utf-8")
    except ValueError:
        raise IncorrectParameters(f"the operators in {path!r} cannot be read: no text") from None


def readOperators(path: str) -> dict[str, Operator]:
    """
    @return: who stands in the file, by their names.
    @raise IncorrectParameters: naming the file, the line and what is wrong there.
    """
    return _operators(path, _read(path))


def changeOperators(
    path: str,
    change: Callable[[dict[str, Operator]], None],
    *,
    make: bool = False,
) -> None:
    """
    Change the file, at once and for good: a reader sees it before or after, and two changes
    at a time are one after the other. Comments stay. The file is for its owner only, who
    stays the same.

    @param change: is given who is there, and changes that.
    @param make: the file too, where there is none.
    @raise IncorrectParameters: when it cannot be read or written, or C{change} raises it.
    """
    # Where a link points to: the link itself stays.
    path = os.path.realpath(path)
    folder = os.path.dirname(path)
    try:
        # Locked is the folder: the file itself will be another one.
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = os.path.exists(path) or not make
            before = _read(path) if known else _HEAD
            operators = _operators(path, before)
            change(operators)
            _replace(path, _changed(before, operators), os.stat(path) if known else None)
            os.fsync(lock)
        finally:
            os.close(lock)
    except OSError as e:
        raise IncorrectParameters(
            f"the operators in {path!r} cannot be written: {e.strerror}"
        ) from None


def _changed(text: str, operators: dict[str, Operator]) -> str:
    """The text with these operators: those that stay in their places, new ones at the end."""
    left = dict(operators)
    lines = []
    for line in text.split("\n"):
        shown = line.strip()
        if shown and not shown.startswith("#"):
            operator = left.pop(shown.partition(":")[0], None)
            if operator is None:
                continue
            line = _line(operator)
        lines.append(line)
    while lines and not lines[-1]:
        lines.pop()
    return "".join(f"{line}\n" for line in [*lines, *map(_line, left.values())])


def _line(operator: Operator) -> str:
    return f"{operator.name}:{operator.shownRights}:{operator.hash}"


def _replace(path: str, text: str, before: os.stat_result | None) -> None:
    # Made with the mode 0600.
    descriptor, made = tempfile.mkstemp(prefix=".operators-", dir=os.path.dirname(path))
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            status = os.fstat(descriptor)
            if before is not None and (before.st_uid, before.st_gid) != (
                status.st_uid,
                status.st_gid,
            ):
                # Root may change the file of the daemon's user, who must still read it.
                os.fchown(descriptor, before.st_uid, before.st_gid)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.replace(made, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(made)
        raise
