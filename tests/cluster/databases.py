"""
Databases for tests.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase, TestCase

from ..postgresql import postgreSQL

__all__ = ["freshDatabase"]


def freshDatabase(case: TestCase | SynchronousTestCase) -> str:
    """The connection string of an empty database, which is gone after the test."""
    server = postgreSQL()
    conninfo = server.database()
    name = conninfo.rpartition("=")[2]
    case.addCleanup(server.execute, f"DROP DATABASE {name} WITH (FORCE)")
    return conninfo
