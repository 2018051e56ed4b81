"""
The connection of tests of pytest-asyncio; loaded where that is installed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
import pytest_asyncio

from .. import aio

__all__ = ["fixtureFor"]

_Scope = Literal["function", "class", "module", "package", "session"]
_PREFIX = "iris_asyncio_connection_"


def _connectionOn(scope: _Scope) -> Any:
    """A fixture whose connection lives on the loop that tests of this loop scope run on."""

    @pytest_asyncio.fixture(name=_PREFIX + scope, loop_scope=scope)
    async def connection(
        iris_arguments: tuple[tuple[str, str, str], dict[str, Any]],
    ) -> AsyncIterator[aio.AsyncioConnection]:
        """See C{iris_connection}."""
        where, settings = iris_arguments
        async with aio.connect(*where, **settings) as connected:
            yield connected

    return connection


# pytest finds them by name.
onFunctionLoop = _connectionOn("function")
onClassLoop = _connectionOn("class")
onModuleLoop = _connectionOn("module")
onPackageLoop = _connectionOn("package")
onSessionLoop = _connectionOn("session")


def fixtureFor(request: pytest.FixtureRequest) -> str:
    """The name of the one for this test."""
    mark = request.node.get_closest_marker("asyncio")
    scope = None if mark is None else mark.kwargs.get("loop_scope")
    scope = scope or request.config.getini("asyncio_default_test_loop_scope") or "function"
    return f"{_PREFIX}{scope}"
