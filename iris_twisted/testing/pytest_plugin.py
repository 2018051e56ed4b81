"""
A plugin of pytest, found by its entry point: the fixtures C{iris_sandbox} and
C{iris_connection}. Neither pytest-asyncio nor pytest-twisted is needed for the first.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from .sandbox_thread import SandboxThread

__all__ = ["iris_connection", "iris_sandbox"]

_MARK = (
    "iris(routingId='alice@sandbox.test', lifetime=3600, age=None, tls=False, **settings): how "
    "iris_sandbox and iris_connection shall be: whose connection, seconds that its token is good "
    "for, and old, whether with TLS, and settings of the connection."
)
# The arguments of the mark that are no settings.
_OWN = ("routingId", "lifetime", "age", "tls")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARK)
    manager = config.pluginmanager
    if manager.hasplugin("asyncio"):
        from . import pytest_asyncio_connection

        manager.register(pytest_asyncio_connection)
    if manager.hasplugin("twisted"):
        from . import pytest_twisted_connection

        manager.register(pytest_twisted_connection)


def marked(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the nearest C{@pytest.mark.iris} says."""
    mark = request.node.get_closest_marker("iris")
    return {} if mark is None else dict(mark.kwargs)


@pytest.fixture
def iris_sandbox(request: pytest.FixtureRequest) -> Iterator[SandboxThread]:
    """An Iris platform on this machine, which does what the test says."""
    with SandboxThread(tls=bool(marked(request).get("tls", False))) as sandbox:
        yield sandbox


@pytest.fixture
def iris_arguments(
    request: pytest.FixtureRequest, iris_sandbox: SandboxThread
) -> tuple[tuple[str, str, str], dict[str, Any]]:
    """What C{connect()} of C{iris_connection} is called with, and the settings."""
    options = marked(request)
    routingId = options.get("routingId", "alice@sandbox.test")
    token = iris_sandbox.token(routingId, options.get("lifetime", 3600.0), options.get("age"))
    settings = {name: value for name, value in options.items() if name not in _OWN}
    if iris_sandbox.caFile is not None:
        settings.setdefault("trustRoot", iris_sandbox.caFile)
    return (token, routingId, iris_sandbox.url), settings


@pytest.fixture
def iris_connection(request: pytest.FixtureRequest) -> Any:
    """
    A connection to C{iris_sandbox} that is up: an
    L{AsyncioConnection<iris_twisted.aio.AsyncioConnection>} in tests of pytest-asyncio, an
    L{IrisRtcConnection<iris_twisted.IrisRtcConnection>} in those of pytest-twisted. It is closed
    after the test.
    """
    function = request.function
    manager = request.config.pluginmanager
    # Set by the decorators of pytest-twisted; without them its tests return a Deferred.
    isTwisted = hasattr(function, "_pytest_twisted_mark")
    kind = "asyncio" if inspect.iscoroutinefunction(function) and not isTwisted else "twisted"
    if not manager.hasplugin(kind):
        needed = f"pytest-{kind}"
        pytest.fail(f"iris_connection needs {needed} for this test: pip install {needed}")
    if kind == "twisted":
        return request.getfixturevalue("iris_twisted_connection")
    from .pytest_asyncio_connection import fixtureFor

    return request.getfixturevalue(fixtureFor(request))
