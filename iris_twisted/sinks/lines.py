"""
Calls as JSON lines, to stdout or into a file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import IncorrectParameters, NotTaken
from .context import SinkContext
from .formats import withoutHeaders
from .group_commit import GroupCommit
from .interfaces import INotificationSink, INotificationSinkProvider, IOrderedSink
from .record import CallRecord

__all__ = ["FileSink", "FileSinks", "StdoutSink", "StdoutSinks"]

# A pipe, a terminal, a device: what is written there is on no disk.
_NO_FILE = "it is no regular file, so it keeps no calls"


@implementer(IOrderedSink)
class StdoutSink:
    """
    Writes a call a line to stdout. Whoever reads there may lose what was written: not durable.
    """

    name = "stdout"
    durable = False
    concurrency = 1

    def __init__(self, context: SinkContext) -> None:
        self._write = context.write
        self._format = withoutHeaders("stdout", context.format)

    def take(self, record: CallRecord) -> Deferred[None]:
        try:
            self._write(self._format.encode(record).body.decode())
        except NotTaken as e:
            return fail(e)
        except (OSError, ValueError) as e:
            return fail(_cannotWrite("stdout", e))
        return succeed(None)

    def reopen(self) -> None:
        """There is nothing to open again."""

    def stop(self) -> Deferred[None]:
        return succeed(None)


def _cannotWrite(what: str, error: Exception) -> NotTaken:
    reason = error.strerror if isinstance(error, OSError) else error
    return NotTaken(f"{what} cannot be written: {reason}", cause=error)


@implementer(IOrderedSink)
class FileSink:
    """
    Appends a call a line to a file, which is flushed to the disk (fsync) before a call counts as
    taken. What is given while that is under way is written and flushed together.

    @param path: absolute. The file is made, with the mode 0600, when there is none.
    """

    durable = True
    concurrency = 256

    _log = Logger()

    def __init__(self, path: str, context: SinkContext) -> None:
        self.name = f"file:{path}"
        self._path = path
        self._reopen = False
        self._file: int | None = None
        self._format = withoutHeaders("file", context.format)
        self._commits: GroupCommit[bytes, None] = GroupCommit(context.reactor, self._append)

    def take(self, record: CallRecord) -> Deferred[None]:
        return self._commits.submit(self._format.encode(record).body).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, OSError):
            raise _cannotWrite(self._path, error) from None
        failure.raiseException()

    def reopen(self) -> None:
        """Open the file anew before the next line: the old one may have been moved away."""
        self._reopen = True

    def stop(self) -> Deferred[None]:
        return self._commits.idle().addCallback(lambda _: self._close())

    def _close(self) -> None:
        # Linux closes it even where close() fails, and gives its number to the next one.
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _append(self, lines: Sequence[bytes]) -> list[None]:
        """Called in a thread, never twice at a time."""
        if self._reopen:
            self._reopen = False
            self._close()
        if self._file is None:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            file = os.open(self._path, flags, 0o600)
            if not stat.S_ISREG(os.fstat(file).st_mode):
                os.close(file)
                raise OSError(errno.EINVAL, _NO_FILE)
            self._file = file
        data = b"".join(line + b"\n" for line in lines)
        if self._endsAmidLine(self._file):
            data = b"\n" + data
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError:
            # Whoever is told that it failed will come again; half a line stays behind.
            self._close()
            raise
        return [None] * len(lines)

    @staticmethod
    def _endsAmidLine(file: int) -> bool:
        """Whether somebody was killed while writing the last line, or the disk was full."""
        size = os.fstat(file).st_size
        return size > 0 and os.pread(file, 1, size - 1) != b"\n"


@implementer(IPlugin, INotificationSinkProvider)
class StdoutSinks:
    """C{stdout}."""

    name = "stdout"

    def make(self, argument: str, context: SinkContext) -> INotificationSink:
        if argument:
            raise IncorrectParameters("sink stdout takes nothing after the colon")
        return StdoutSink(context)


@implementer(IPlugin, INotificationSinkProvider)
class FileSinks:
    """C{file:PATH}."""

    name = "file"

    def make(self, argument: str, context: SinkContext) -> INotificationSink:
        if not argument or "\0" in argument:
            raise IncorrectParameters("sink file needs a path: file:PATH")
        if not argument.isprintable():
            # It is the sink's name, in logs and in an outbox.
            raise IncorrectParameters(f"sink file: {argument!a} cannot be printed in UTF-8")
        folder = os.path.dirname(os.path.abspath(argument))
        if os.path.isdir(argument):
            raise IncorrectParameters(f"sink file:{argument} is a folder")
        if not os.path.isdir(folder):
            raise IncorrectParameters(f"sink file:{argument}: there is no folder {folder}")
        if os.path.exists(argument) and not os.path.isfile(argument):
            raise IncorrectParameters(f"sink file:{argument}: {_NO_FILE}")
        return FileSink(os.path.abspath(argument), context)
