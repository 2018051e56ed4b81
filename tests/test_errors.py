"""
L{iris_twisted.errors}: codes, faults, words.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iris_twisted import errors
from iris_twisted.errors import Fault, IrisError


class Errors(SynchronousTestCase):
    """The typed errors."""

    def test_all(self) -> None:
        """Each has a code of protocol.md, a name, a fault, and says whether to retry."""
        names = {
            -101: "ERR_INCORRECT_PARAMETERS",
            -102: "ERR_NOT_SUPPORTED",
            -103: "ERR_INVALID_STATE",
            -104: "ERR_NOT_CONNECTED",
            -105: "ERR_BACKEND_ERROR",
            -106: "ERR_CREATE_CONNECTION_FAILED",
            -109: "ERR_API_PARAMETERS",
            -116: "ERR_SESSION_INVALID_TOKEN",
        }
        kinds = [getattr(errors, n) for n in errors.__all__]
        kinds = [k for k in kinds if isinstance(k, type) and issubclass(k, IrisError)]
        self.assertEqual({k.code for k in kinds}, set(names))
        for kind in kinds:
            self.assertEqual(kind.name, names[kind.code])
            self.assertIsInstance(kind.fault, Fault)
            self.assertIsInstance(kind.retryable, bool)

    def test_message(self) -> None:
        """Message, cause and repr."""
        cause = ValueError("x")
        error = errors.ConnectionFailed("no luck", cause=cause)
        self.assertEqual(
            (error.message, str(error), error.__cause__), ("no luck", "no luck", cause)
        )
        self.assertEqual(repr(error), "<ConnectionFailed -106: no luck>")
