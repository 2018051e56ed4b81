"""
The connection of tests of pytest-twisted; loaded where that is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted

from ..connection import IrisRtcConnection

__all__ = ["iris_twisted_connection"]


@pytest.fixture
def iris_twisted_connection(
    iris_arguments: tuple[tuple[str, str, str], dict[str, Any]],
) -> Iterator[IrisRtcConnection]:
    """A connection on the reactor of pytest-twisted; see C{iris_connection}."""
    from twisted.internet import reactor

    where, settings = iris_arguments
    connection = IrisRtcConnection(reactor, **settings)
    try:
        pytest_twisted.blockon(connection.connect(*where))
        yield connection
    finally:
        pytest_twisted.blockon(connection.close())
