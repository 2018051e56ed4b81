"""
Sequences that broke promises once, each in the rules of C{test_api_properties}: hypothesis finds
them, and not in every run.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.errors import ConnectionFailed, IncorrectParameters, TokenRefused

from ..applications import Own
from .test_api_properties import WholeApi

# A rule and its arguments, C{which} application 0 where they say nothing; those of the beginning
# as here where they say nothing.
Step = tuple[str, dict[str, Any]]
BEGINNING: dict[str, Any] = {
    "pingInterval": 3.0,
    "giveUpAfter": None,
    "cast": (1, 0, 0),
    "provided": True,
    "waits": True,
    "assigned": False,
    "up": True,
}
REFUSED = TokenRefused("no")


def begins(**arguments: Any) -> Step:
    """The beginning."""
    return "begin", {**BEGINNING, **arguments}


def wait(seconds: float) -> Step:
    """Time passes."""
    return "timePasses", {"seconds": seconds}


def plans(place: str, call: str) -> Step:
    """It will call that from there."""
    return "callsFrom", {"place": place, "call": call}


def many(kind: str, count: int = 7) -> Step:
    """Notifications come."""
    return "notificationsInOneMessage", {"count": count, "kind": kind}


def provider(kind: str, *, lost: bool = False) -> Step:
    """The token provider is like that; C{lost}: and asked."""
    return "providerIs", {"kind": kind, "lost": lost}


LOST: Step = ("socketLost", {"error": None})
CIRCUIT_OPENS: Step = ("discoveryFailsAtOnce", {"fails": True})
CIRCUIT_CLOSES: Step = ("discoveryFailsAtOnce", {"fails": False})
COMES_UP: Step = ("comesUp", {"seconds": 1.5})
ENDS: Step = ("calls", {"call": "end"})
UPDATES: Step = ("calls", {"call": "updateToken"})
WELL: Step = ("allIsWell", {})
SERVICE: dict[str, Any] = {"cast": (0, 1, 0)}
FLEET: dict[str, Any] = {"cast": (0, 0, 6)}

SEQUENCES: dict[str, list[Step]] = {
    "close() again in the next turn": [
        begins(up=False),
        plans("onConnected", "end"),
        plans("the next turn", "end"),
        COMES_UP,
    ],
    "a Deferred cancels its neighbour": [
        begins(up=False),
        (
            "callsInOneTurn",
            {"calls": ["begin", "begin", "begin"], "place": "connect()", "call": "cancel"},
        ),
        wait(4.0),
    ],
    "the provider closes when the token is about to expire": [
        begins(up=False),
        ("tokensLive", {"life": 310.0}),
        COMES_UP,
        provider("closes"),
        wait(31.0),
    ],
    "updateToken() after close()": [
        begins(),
        ENDS,
        wait(4.0),
        ("tokensLive", {"life": -5.0}),
        UPDATES,
        wait(4.0),
    ],
    "close(); connect(); close() in one turn": [
        begins(provided=False),
        ("tokensLive", {"life": -5.0}),
        ("callsInOneTurn", {"calls": ["again", "end"], "place": "ended", "call": "end"}),
        wait(4.0),
    ],
    "close() from the Deferred of a reject whose answer brings a notification": [
        begins(),
        ("rejects", {"answered": True, "call": "end"}),
        wait(4.0),
    ],
    "notifications held across a loss": [
        begins(),
        many("hangs"),
        wait(0.0),
        ("whatHangsEnds", {"good": True}),
        ("serverForgets", {}),
        LOST,
        wait(4.0),
        *[many("hangs")] * 3,
    ],
    "connect() from the errback of a reject, while closing": [
        begins(),
        ("tokensLive", {"life": 310.0}),
        ("rejects", {"answered": False, "call": "begin"}),
        CIRCUIT_OPENS,
        LOST,
        wait(1.5),
        CIRCUIT_CLOSES,
        ENDS,
        *[wait(31.0)] * 12,
    ],
    "pings further apart than the patience": [begins(pingInterval=20.0), wait(31.0), wait(31.0)],
    "a dead link, and the clock is set back": [begins(), ("linkDies", {"jump": -3600.0})],
    "a dead link beside another that is older than the clock": [
        begins(cast=(2, 0, 0), up=False),
        COMES_UP,
        ("wallClockIsSet", {"seconds": -3600.0}),
        ("comesUp", {"which": 1, "seconds": 1.5}),
        ("linkDies", {"which": 1, "jump": 0.0}),
    ],
    "giving up is due, and a 401 is read first": [
        begins(giveUpAfter=5.0),
        ("discoveryHangs", {"count": 1}),
        LOST,
        wait(4.0),
        provider("hangs"),
        ("discoveryAnswersLate", {"fault": REFUSED, "busy": 5.5}),
        UPDATES,
        wait(4.0),
        WELL,
    ],
    "the first token of a service is refused": [
        begins(**SERVICE, up=False),
        ("discoveryFails", {"fault": REFUSED}),
        COMES_UP,
        WELL,
    ],
    "a service whose callbacks are assigned gives up": [
        begins(**SERVICE, giveUpAfter=5.0, assigned=True),
        CIRCUIT_OPENS,
        LOST,
        wait(31.0),
        WELL,
    ],
    "a retry policy that raises": [
        begins(**SERVICE, up=False),
        ("policyIs", {"kind": "raises"}),
        ("discoveryFails", {"fault": ConnectionFailed("no")}),
        COMES_UP,
        WELL,
    ],
    "a token provider that is none": [begins(), ("wrongArgument", {"name": "tokenProvider"})],
    "a service is restarted in one turn": [
        begins(**SERVICE, up=False),
        ("discoveryHangs", {"count": 1}),
        COMES_UP,
        ("calls", {"call": "again"}),
        wait(4.0),
    ],
    "a service is stopped, and the Deferred cancelled": [
        begins(**SERVICE),
        ("callsInOneTurn", {"calls": ["end", "cancel"], "place": "ended", "call": "ask"}),
        wait(4.0),
        COMES_UP,
    ],
    "all wait for the gate, and discovery fails at once": [
        begins(**FLEET),
        wait(31.0),
        ("allWaitForOne", {}),
        CIRCUIT_OPENS,
    ],
    "two bad tokens in turn": [begins(), provider("bad in turn", lost=True), wait(31.0)],
    "the provider closes when it is asked by connect()": [
        begins(up=False),
        ("tokensLive", {"life": -5.0}),
        provider("closes"),
        COMES_UP,
    ],
    "accounts join a running fleet": [
        begins(**FLEET),
        wait(31.0),
        ("fleetIs", {"call": "leave and join"}),
    ],
    "a provider that hangs": [begins(), provider("hangs", lost=True), WELL],
    "tokens that live shorter than the warning": [
        begins(),
        provider("short", lost=True),
        wait(31.0),
    ],
    "close() while reading is paused": [begins(), many("hangs"), ENDS, wait(1.5), wait(1.5)],
}


class Sequences(SynchronousTestCase):
    """All of them."""

    def test_promises(self) -> None:
        """None of them breaks a promise."""
        for name, steps in SEQUENCES.items():
            machine = WholeApi()
            try:
                for rule, arguments in steps:
                    perform = getattr(machine, rule)
                    if "which" in signature(perform).parameters:
                        arguments = {"which": 0, **arguments}
                    perform(**arguments)
                    machine.promises()
                    machine.oneSocket()
            except Exception as e:
                raise AssertionError(name) from e
            finally:
                machine.teardown()
        # Callbacks, providers and policies that failed on purpose were logged.
        self.flushLoggedErrors(Own, IncorrectParameters)
