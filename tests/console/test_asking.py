"""
What pages ask for again and again.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.console.asking import Asked, argumentOf
from iris_twisted.errors import NotKept

from .test_live_views import Browser


class Answer(Browser):
    """A request for it."""

    _disconnected = False

    def __init__(self, words: str) -> None:
        super().__init__([b""])
        self.args[b"words"] = [words.encode()]
        self.requestHeaders.addRawHeader(b"host", b"localhost")

    @property
    def answer(self) -> Any:
        """What came; C{None} before."""
        return json.loads(b"".join(self.written)) if self.finished else None


class Asking(SynchronousTestCase):
    """Who asks the same within a second shares a look."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.looks: list[tuple[str, Deferred[dict[str, Any]]]] = []

        def look(words: str) -> Deferred[dict[str, Any]]:
            looking: Deferred[dict[str, Any]] = Deferred()
            self.looks.append((words, looking))
            return looking

        keyOf = lambda request: (argumentOf(request, b"words"),)  # noqa: E731
        self.asked = Asked(self.clock, keyOf, look)

    def ask(self, words: str = "") -> Answer:
        request = Answer(words)
        self.asked.render(request)
        return request

    def found(self, value: Any) -> None:
        """The last look is done."""
        self.looks[-1][1].callback({"value": value})

    def test_shared(self) -> None:
        """Ten pages ask once, however long it takes; another page asks for itself; after a second it is anew."""
        pages = [self.ask() for _ in range(10)]
        self.clock.advance(5)
        pages.append(self.ask())
        self.assertEqual(len(self.looks), 1)
        self.found(1)
        self.assertEqual([page.answer for page in pages], [{"value": 1}] * 11)
        self.ask("other")
        self.found(2)
        self.assertEqual([words for words, _ in self.looks], ["", "other"])
        self.clock.advance(0.9)
        self.assertEqual(self.ask("other").answer, {"value": 2})
        self.clock.advance(0.1)
        self.assertIsNone(self.ask("other").answer)
        self.assertEqual(len(self.looks), 3)
        # Of what nobody asks for any more nothing is kept.
        self.assertEqual(len(self.asked._answers), 1)

    def test_changed(self) -> None:
        """Whoever asks after a change is not told how it was before; who asked before is told that."""
        before = self.ask()
        self.asked.forget()
        after = self.ask()
        self.assertEqual(len(self.looks), 2)
        self.looks[0][1].callback({"value": "before"})
        self.assertIsNone(after.answer)
        self.found("after")
        self.assertEqual((before.answer, after.answer), ({"value": "before"}, {"value": "after"}))
        self.assertEqual(self.ask().answer, {"value": "after"})

    def test_failures(self) -> None:
        """What cannot be answered is told to all, with 503; a bug with 500, in the log; who is gone gets nothing."""
        pages = [self.ask(), self.ask()]
        pages[1]._disconnected = True
        self.looks[0][1].errback(NotKept("the store is away"))
        self.assertEqual(pages[0].answer, {"message": "the store is away"})
        self.assertEqual((pages[0].responseCode, pages[1].written), (503, []))
        # Whoever asks next may have more luck.
        later = self.ask()
        self.found(1)
        self.assertEqual(later.answer, {"value": 1})
        bug = self.ask("bug")
        self.looks[2][1].errback(ZeroDivisionError())
        self.assertEqual(bug.responseCode, 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
