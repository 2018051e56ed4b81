"""
The sinks that need a library of their own: nothing of it is there before it is used.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import iris_twisted
from iris_twisted.errors import ConnectionFailed, IncorrectParameters, NotTaken
from iris_twisted.sinks import SinkContext, makeSink, sinkProviders
from iris_twisted.sinks.broker_url import BrokerUrl
from iris_twisted.sinks.kept_connection import KeptConnection

from ..doubles import FixedDelay

LIBRARIES = ("pika", "txredisapi", "hiredis", "confluent_kafka")
BROKERS = {
    "amqp": ("amqp:amqp://127.0.0.1/?exchange=calls", "pika"),
    "redis": ("redis:redis://127.0.0.1/calls", "txredisapi"),
    "kafka": ("kafka:127.0.0.1/calls", "confluent_kafka"),
}


def makeBroker(name: str) -> Any:
    return makeSink(BROKERS[name][0], SinkContext(reactor=reactor, write=lambda line: None))


class Imports(SynchronousTestCase):
    """What is in C{sys.modules}."""

    def loaded(self, spec: str) -> set[str]:
        """The libraries that a process has loaded that made this sink."""
        script = (
            "import json, sys\n"
            "from iris_twisted.sinks import SinkContext, makeSink, sinkProviders\n"
            "sinkProviders()\n"
            f"makeSink({spec!r}, SinkContext(reactor=None, write=print))\n"
            "import iris_twisted.tap\n"
            f"print(json.dumps([m for m in {LIBRARIES!r} if m in sys.modules]))\n"
        )
        root = str(Path(iris_twisted.__file__).parent.parent)
        out = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONPATH": root},
        )
        return set(json.loads(out.stdout))

    def test_none(self) -> None:
        """Of no broker's library anything is imported when its sink is not used."""
        self.assertEqual(self.loaded("stdout"), set())

    def test_one(self) -> None:
        """Only that of the sink that is used."""
        self.assertEqual(self.loaded(BROKERS["redis"][0]), {"txredisapi", "hiredis"})

    def test_missing(self) -> None:
        """A library that is missing is a sentence with the line that installs it."""
        find = importlib.util.find_spec
        self.patch(
            importlib.util,
            "find_spec",
            lambda name, *rest: None if name in LIBRARIES else find(name, *rest),
        )
        for name in BROKERS:
            with self.assertRaises(IncorrectParameters) as caught:
                makeBroker(name)
            self.assertIn(f"sink {name} needs ", caught.exception.message)
            self.assertIn(f": pip install 'iris-twisted[{name}]'", caught.exception.message)

    def test_extras(self) -> None:
        """Every extra that is named is one of the distribution's."""
        setup = Path(__file__).parent.parent.parent / "setup.py"
        text = setup.read_text(encoding="utf-8")
        for name, (_, module) in BROKERS.items():
            self.assertIn(f'"{name}": ["{module.replace("_", "-")}>=', text)
            self.assertIn(name, sinkProviders())


class Urls(SynchronousTestCase):
    """The URLs of brokers."""

    def parse(self, argument: str) -> BrokerUrl:
        schemes = {"amqp": (False, 5672), "amqps": (True, 5671)}
        return BrokerUrl.parse("amqp", argument, schemes, ("a", "password-file"), False)

    def test_parts(self) -> None:
        """Each part where it belongs; without a scheme it is the sink's own."""
        url = self.parse("amqps://us%40er@[::1]/a%2Fb?a=x%20y")
        self.assertEqual(
            (url.secure, url.host, url.port, url.user, url.path, url.parameters),
            (True, "::1", 5671, "us@er", "/a%2Fb", {"a": "x y"}),
        )
        self.assertEqual(url.origin, "amqps://[::1]:5671")
        url = self.parse("//127.0.0.1:1/?a=")
        self.assertEqual((url.secure, url.port, url.parameters), (False, 1, {"a": ""}))

    def test_mistakes(self) -> None:
        """Each is told without a secret, a parameter with the one that may be meant."""
        for argument, words in (
            ("amqp://u:CANARY@127.0.0.1/", "password-file=PATH, or the environment variable IRIS_AMQP_PASSWORD"),
            ("amqp://h.test/CANARY", "use amqps://"),
            ("amqp://127.0.0.1/?pasword-file=CANARY", "did you mean password-file?"),
            ("amqp://127.0.0.1/?CANARY", "name=value&name=value"),
            ("amqp://127.0.0.1/?a=1&a=CANARY", "a stands there twice"),
            ("amqp://127.0.0.1/#CANARY", "needs a URL"),
            ("amqp://127.0.0.1:99999/", "needs a URL"),
            ("amqp://[::1/", "needs a URL"),
        ):  # fmt: skip
            with self.assertRaises(IncorrectParameters, msg=argument) as caught:
                self.parse(argument)
            self.assertIn(words, caught.exception.message)
            self.assertNotIn("CANARY", caught.exception.message)

    def test_password(self) -> None:
        """Of the file, or else of the environment."""
        self.patch(os, "environ", {"IRIS_AMQP_PASSWORD": "of environment"})
        path = os.path.abspath(self.mktemp())
        Path(path).write_text("of file\n")
        self.assertEqual(self.parse("//127.0.0.1/").password(), "of environment")
        self.assertEqual(self.parse(f"//127.0.0.1/?password-file={path}").password(), "of file")
        self.patch(os, "environ", {})
        self.assertIsNone(self.parse("//127.0.0.1/").password())


class Link:
    """A connection that a test ends."""

    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()
        self.closed = 0

    def close(self) -> None:
        self.closed += 1
        self.gone.callback(None)


class Kept(SynchronousTestCase):
    """One connection, kept."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.policy = FixedDelay(4.0)
        self.opened = 0
        self.outcome: Any = None
        self.kept: KeptConnection[Link] = KeptConnection(
            self.clock, "sink x", self.open, 10.0, self.policy
        )

    def open(self) -> Deferred[Link]:
        self.opened += 1
        if isinstance(self.outcome, Exception):
            return fail(self.outcome)
        return self.outcome if isinstance(self.outcome, Deferred) else succeed(Link())

    def get(self) -> Deferred[Link]:
        return Deferred.fromCoroutine(self.kept.get())

    def test_shared(self) -> None:
        """All who want it while it is being opened get the same one."""
        self.outcome = opening = Deferred()
        wanted = [self.get() for _ in range(3)]
        link = Link()
        opening.callback(link)
        self.assertEqual([self.successResultOf(d) for d in wanted], [link] * 3)
        self.assertIs(self.successResultOf(self.get()), link)
        self.assertEqual(self.opened, 1)

    def test_order(self) -> None:
        """Who asks while those are told that waited comes after them: calls keep their order."""
        self.outcome = opening = Deferred()
        told: list[str] = []

        def first(_: Link) -> None:
            told.append("first")
            self.get().addCallback(lambda _: told.append("third"))

        self.get().addCallback(first)
        self.get().addCallback(lambda _: told.append("second"))
        opening.callback(Link())
        self.assertEqual(told, ["first", "second", "third"])

    def test_patience(self) -> None:
        """After a failure it is not tried before the policy says so; each is told how long."""
        self.outcome = ConnectionFailed("nobody there")
        error = self.failureResultOf(self.get(), NotTaken).value
        self.assertEqual((error.message, error.retryAfter), ("nobody there", 4.0))
        self.clock.advance(3.0)
        error = self.failureResultOf(self.get(), NotTaken).value
        self.assertEqual((error.message, error.retryAfter), ("nobody there", 1.0))
        self.assertEqual(self.opened, 1)
        self.clock.advance(1.0)
        self.outcome = None
        self.successResultOf(self.get())
        self.assertEqual((self.opened, self.policy.attempts), (2, [1]))

    def test_lost(self) -> None:
        """One that is lost early counts as a failure; one that stood begins the count anew."""
        for seconds, attempt in ((1.0, 1), (1.0, 2), (60.0, 1)):
            link = self.successResultOf(self.get())
            self.clock.advance(seconds)
            link.gone.callback(None)
            self.failureResultOf(self.get(), NotTaken)
            self.assertEqual(self.policy.attempts[-1], attempt)
            self.clock.advance(4.0)

    def test_mistake(self) -> None:
        """What somebody has to change is told as that to who asks, and as delay to a call."""
        self.outcome = IncorrectParameters("no such thing")
        asked: Deferred[Link] = Deferred.fromCoroutine(self.kept.ask())
        self.failureResultOf(asked, IncorrectParameters)
        error = self.failureResultOf(self.get(), NotTaken).value
        self.assertEqual((error.message, error.retryAfter), ("no such thing", 4.0))

    def test_slow(self) -> None:
        """Opening takes its time and no longer."""
        cancelled: list[Any] = []
        self.outcome = Deferred(cancelled.append)
        wanted = self.get()
        self.clock.advance(9.9)
        self.assertNoResult(wanted)
        self.clock.advance(0.2)
        error = self.failureResultOf(wanted, NotTaken).value
        self.assertEqual(error.message, "sink x was not ready within 10 seconds")
        self.assertEqual(len(cancelled), 1)

    def test_cancelled(self) -> None:
        """Who waits no longer takes nothing from the others."""
        self.outcome = opening = Deferred()
        first, second = self.get(), self.get()
        first.cancel()
        self.failureResultOf(first)
        opening.callback(Link())
        self.successResultOf(second)

    def test_stop(self) -> None:
        """Stopping closes it, ends an opening, and opens none."""
        link = self.successResultOf(self.get())
        self.successResultOf(Deferred.fromCoroutine(self.kept.stop()))
        self.assertEqual(link.closed, 1)
        self.failureResultOf(self.get(), NotTaken)
        self.setUp()
        self.outcome = Deferred()
        wanted = self.get()
        self.successResultOf(Deferred.fromCoroutine(self.kept.stop()))
        error = self.failureResultOf(wanted, NotTaken).value
        self.assertEqual(error.message, "sink x is stopped")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bug(self) -> None:
        """An opener that fails as it should not is logged, and tried again."""
        self.outcome = ZeroDivisionError("x")
        error = self.failureResultOf(self.get(), NotTaken).value
        self.assertEqual(error.message, "sink x cannot be connected: ZeroDivisionError")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
