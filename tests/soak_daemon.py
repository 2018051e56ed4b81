"""
C{twist iris} as people run it for months, for as long as one likes:

    python -m tests.soak_daemon [--minutes N] [--seed S]

A real process with a configuration file, many accounts, a spool, and sinks of each kind, of which
all fail at random; a sandbox and a network before it that make trouble; and an operator who changes
the configuration, kills and ends the daemon, moves files away and looks at what it serves. From time
to time all is well: then every call that was acknowledged must be where it was to go, once and in
order but for what the documentation allows (L{tests.soak_ledger}), and nothing may be owed. The log
has no secret and no traceback. In the first part of the time the daemon is killed now and then; then
it lives to the end, and must not grow. At the end it ends at once, and leaves nothing.

What is done, and after which pauses, follows from the seed alone, where nothing has to be waited for.
A sink whose program or package is missing is left out, which is told.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock, ensureDeferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater, react
from twisted.internet.utils import getProcessOutputAndValue
from twisted.logger import LogEvent, eventAsText, globalLogBeginner
from twisted.web.client import Agent, readBody

from iris_twisted.sandbox import Sandbox, platform, startSandbox
from iris_twisted.sandbox.records import DROPS, HANG_STEPS

from .faults.proxy import DOWN, UP, Fault, Proxy
from .interop.prosody import freePort
from .invariants import BrokenPromise
from .soak_ledger import Ledger
from .soak_process import DaemonProcess, Readings
from .soak_sinks import CANARIES, Exec, Lines, Place, places

ACCOUNTS, KEEPER = 24, "keeper@sandbox.test"
# Seconds by which a machine with other work may keep us waiting.
SLACK = 20.0
# Seconds of trouble; for how long an attempt, and the pause before the next, may take; for how long
# a sink's next turn may be away, which is five minutes for one that failed for long; for the end.
TROUBLE = 8.0, 25.0
COMING_UP, GIVEN, ENDED = 100.0, 330.0, 20.0
# The part of the time in which the daemon is killed, and of what lives then, the first part of its
# readings that is warm-up.
KILLS, WARM_UP = 0.3, 0.2
# By how much the median of the second half of the readings may exceed that of the first: open files
# (idle connections to sinks), threads (the reactor's pool of ten, and a library's), kilobytes.
FILES, THREADS, MEMORY = 8, 4, 8192
# Fewer readings say nothing.
READINGS = 8
_CALLS = re.compile(r'^iris_outbox_calls\{sink="([^"]*)",state="([^"]*)"\} (\S+)$', re.MULTILINE)


class Soak:
    """
    One run.

    @param seed: of everything that is left to chance.
    @param seconds: how long it lasts, without the end.
    """

    def __init__(self, reactor: Any, seed: int, seconds: float, folder: Path) -> None:
        self.reactor = reactor
        self.random = random.Random(seed)
        self.seconds = seconds
        self.folder = folder
        self.done: Counter[str] = Counter()
        self.logged: list[str] = []
        # For who has to find out what happened.
        self.book = (folder / "calls.log").open("w")
        self.ledger = Ledger(self.random.random() < 0.3, self.note)
        self.daemon = DaemonProcess(reactor, folder, folder / "iris.toml", CANARIES)
        self.places: list[Place] = []
        self.readings: list[Readings] = []
        self.ends: list[float] = []
        self.accounts = [f"user{n}@sandbox.test" for n in range(ACCOUNTS)]
        self.tokens: set[str] = set()
        self.http = Agent(reactor, connectTimeout=10)
        self.small: Path | None = None
        self.full = False
        self.kills = True
        self.verbose = False
        self.without: list[str] = []
        # What takes a while, each alone: the daemon's life, and each place's.
        self.life = DeferredLock()
        self.underWay: dict[Deferred[Any], str] = {}
        self.failures: list[str] = []
        self.deed = ""
        self.leaving: Deferred[None] | None = None

    # What there is

    async def begin(self) -> None:
        """Everything; the daemon last."""
        self.places, left = places(self.reactor, self.ledger, self.folder, self.without)
        if left:
            print(f"left out: {', '.join(left)}", flush=True)
        await gatherResults([ensureDeferred(place.start()) for place in self.places])
        self.sandbox: Sandbox = await startSandbox(self.reactor)
        self.sandbox.platform.resumptionPatience = 60.0
        # Calls that are answered late are counted too.
        platform._CALLS_KEPT = 50_000
        self.proxy = await Proxy(self.reactor, int(self.sandbox.url.rpartition(":")[2])).start()
        self.metrics, self.console = freePort(), freePort()
        self.spool = self._disk() / "calls.spool"
        for account in (KEEPER, *self.accounts):
            self.token(account)
        self.configure(self.everything())
        self.ledger.changed()
        await self.started()

    def _disk(self) -> Path:
        """A small one, where that can be had."""
        small = self.folder / "small"
        small.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "iris-soak", str(small)]
        if shutil.which("mount") and subprocess.run(command, capture_output=True).returncode == 0:
            self.small = small
        return small

    def place(self, name: str) -> Place:
        return next(place for place in self.places if place.name == name)

    def everything(self) -> dict[str, list[str] | None]:
        """A configuration of which all is used; the accounts' sinks, C{None} for the common."""
        names = [place.name for place in self.places]
        sinks: dict[str, list[str] | None] = {KEEPER: names}
        for number, account in enumerate(self.accounts):
            sinks[account] = None if number % 4 == 0 else names[number % 4 :: 2]
        return sinks

    def someOfIt(self) -> dict[str, list[str] | None]:
        """Any configuration."""
        names = [place.name for place in self.places]
        known: dict[str, list[str] | None] = {KEEPER: self.random.sample(names, 2)}
        for account in self.accounts:
            some = self.random.sample(names, self.random.randint(1, 3))
            sinks = None if self.random.random() < 0.3 else some
            if self.random.random() < 0.8:
                known[account] = sinks
        return known

    def configure(self, sinks: dict[str, list[str] | None]) -> None:
        """Write the configuration; it may be read from now on."""
        values: dict[str, Any] = {
            "event-manager": f"http://127.0.0.1:{self.proxy.port}",
            "spool": str(self.spool),
            "sink": [self.place("file").spec],
            "output": "none",
            "metrics": f"tcp:{self.metrics}:interface=127.0.0.1",
            "console": f"tcp:{self.console}:interface=127.0.0.1",
            "webhook-secret-file": str(self.folder / "webhook.secret"),
            "webhook-timeout": 3.0,
            "exec-timeout": 3.0,
            "strict-order": self.ledger.strict,
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        for account, names in sinks.items():
            lines += ["[[account]]", f'routing-id = "{account}"', f'token-file = "{account}.token"']
            if names is not None:
                lines.append(f"sink = {json.dumps([self.place(name).spec for name in names])}")
        self.daemon.config.write_text("\n".join(lines) + "\n")
        self.ledger.changes({a: frozenset(["file"] if s is None else s) for a, s in sinks.items()})

    def token(self, account: str, life: float = 90_000.0) -> None:
        """Write a new one."""
        token = self.sandbox.token(account, life)
        self.tokens.add(token.split(".")[1])
        # At once: a reload that finds an empty file keeps the old configuration, and says so.
        new = self.folder / "token.new"
        new.write_text(token)
        new.rename(self.folder / f"{account}.token")

    # What happens; each draws as many random numbers whatever the state of things

    def one(self) -> str:
        """Any account."""
        return self.random.choice([KEEPER, *self.accounts])

    def isCalled(self) -> None:
        account = self.one()
        for _ in range(self.random.randint(1, 6)):
            kind = self.random.choice(["notify", "notify", "chat", "cancel"])
            self.ledger.placed(self.sandbox.placeCall(account, kind=kind))

    def toldAgain(self) -> None:
        place = self.random.random()
        waiting = [*self.ledger.owed.values()][-200:]
        if waiting:
            owed = waiting[int(place * len(waiting))]
            self.ledger.sweep()
            owed.again = True
            self.note(f"{owed.trace} told again")
            self.sandbox.tellAgain(owed.call.id)

    def dropped(self) -> None:
        who, how = self.random.random(), self.random.choice(DROPS)
        sessions = self.sandbox.sessions
        if sessions:
            self.sandbox.platform.drop(sessions[int(who * len(sessions))].id, how)

    def allDropped(self) -> None:
        self.sandbox.drop(self.random.choice(DROPS))

    def serverHangs(self) -> None:
        self.sandbox.hang(self.random.choice(HANG_STEPS))

    def serverWorks(self) -> None:
        self.sandbox.behave()

    def discoveryIs(self) -> None:
        self.sandbox.answerDiscovery(
            *self.random.choice([(401, b""), (503, b""), (200, b"{"), (302, b""), (200, b"[]")])
        )

    def platformRestarts(self) -> None:
        pause = self.random.uniform(0.1, 3.0)

        async def restart() -> None:
            await self.sandbox.goAway()
            await self.wait(pause)
            await self.sandbox.comeBack()

        self.later(restart)

    def networkIs(self) -> None:
        chance = self.random
        faults = [
            Fault(),
            Fault(),
            Fault(delay=chance.uniform(0.01, 0.5)),
            Fault(chance.choice([UP, DOWN]), 0, "reset"),
            Fault(chance.choice([UP, DOWN]), chance.randint(0, 5000), "half-close"),
            Fault(chance.choice([UP, DOWN]), chance.randint(0, 5000), "blackhole"),
        ]
        chosen = chance.choice(faults)
        if self.proxy.fault.happened:
            # Nothing passes where something before it was swallowed: TCP leaves no gap.
            self.proxy.cut()
        self.proxy.fault = chosen

    def tokenIs(self) -> None:
        self.token(self.one(), self.random.choice([-5.0, 2.0, 8.0, 90_000.0, 90_000.0]))

    def tokensAreRefused(self) -> None:
        account = self.one()
        self.sandbox.refuseToken((self.folder / f"{account}.token").read_text())

    def placeIs(self, place: Place) -> None:
        chance = random.Random(self.random.random())
        self.later(lambda: place.alone.run(lambda: ensureDeferred(place.trouble(chance))))

    def placeIsWell(self, place: Place) -> None:
        self.later(lambda: place.alone.run(lambda: ensureDeferred(place.mend())))

    def configurationIs(self) -> None:
        sinks, wrong = self.someOfIt(), self.random.random() < 0.2
        self.later(lambda: self.life.run(lambda: ensureDeferred(self.reload(sinks, wrong))))

    def filesMove(self) -> None:
        self.later(lambda: self.life.run(lambda: ensureDeferred(self.rotate())))

    def diskIs(self) -> None:
        full, small = self.random.random() < 0.5, self.random.random() < 0.5
        self.later(
            lambda: self.life.run(lambda: self.fillDisk(small) if full else self.emptyDisk())
        )

    def fillDisk(self, small: bool) -> None:
        """
        There is no room.

        @param small: on the small disk, if there is one; otherwise for any file that grows.
        """
        self.full = True
        # What was taken is not written down before there is room.
        self.ledger.ends = None
        for place in self.places:
            if isinstance(place, (Lines, Exec)):
                place.excuse.unordered = True
            if isinstance(place, Lines):
                place.excuse.repeats += 256
        if not small or self.small is None:
            self.daemon.fillDisk()
            return
        with (self.small / "filler").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def emptyDisk(self) -> None:
        """There is room."""
        self.daemon.emptyDisk()
        if self.small is not None:
            (self.small / "filler").unlink(missing_ok=True)

    def daemonStops(self) -> None:
        pause = self.random.uniform(0.1, 2.0)

        async def stop() -> None:
            self.daemon.signal(signal.SIGSTOP)
            await self.wait(pause)
            self.daemon.signal(signal.SIGCONT)

        self.later(lambda: self.life.run(lambda: ensureDeferred(stop())))

    def daemonEnds(self) -> None:
        how, pause = self.random.choice(["KILL", "KILL", "TERM"]), self.random.uniform(0.0, 2.0)
        if self.kills:
            self.later(lambda: self.life.run(lambda: ensureDeferred(self.restart(how, pause))))

    def deadLettersAreListed(self) -> None:
        self.later(lambda: self.outbox("list"))

    def somebodyLooks(self) -> None:
        self.later(lambda: self.life.run(lambda: ensureDeferred(self.look())))

    def somebodyWatches(self) -> None:
        pause = self.random.uniform(0.1, 3.0)
        self.later(lambda: self.watch(pause))

    # Which of them take a while

    def later(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Do that beside everything else."""

        async def run() -> None:
            try:
                await work()
            except BrokenPromise as e:
                self.failures.append(str(e))
            except Exception:
                self.failures.append(traceback.format_exc())

        running = ensureDeferred(run())
        self.underWay[running] = self.deed
        running.addCallback(lambda _: self.underWay.pop(running))

    async def started(self) -> None:
        """Let the daemon start."""
        began = time.monotonic()
        line = await self.within(60 + SLACK, self.daemon.start(), "it does not start")
        if not line:
            raise BrokenPromise("it ended while it started:\n" + "\n".join(self.daemon.last))
        # Until its reactor runs, signals end it.
        getting = self.get(f"http://127.0.0.1:{self.metrics}/healthz")
        await self.within(60 + SLACK, ensureDeferred(getting), "it does not run")
        self.done["seconds of starts"] += round(time.monotonic() - began)
        # It reads what stands there now.
        self.ledger.changed()

    async def restart(self, how: str, pause: float) -> None:
        """End it, and start it again."""
        if how == "KILL":
            at = await self.daemon.kill()
            windows = {place.name: place.window for place in self.places}
            self.ledger.interrupted(at, windows)
        else:
            full = self.full
            self.ends.append(await self.daemon.end(ENDED + SLACK))
            if full:
                # What was taken could not be written down.
                windows = {place.name: place.window for place in self.places}
                self.ledger.interrupted(time.time(), windows)
        self.done[how] += 1
        self.emptyDisk()
        await self.wait(pause)
        await self.started()

    async def reload(self, sinks: dict[str, list[str] | None], wrong: bool = False) -> None:
        """SIGHUP."""
        before = self.daemon.config.read_text()
        if wrong:
            self.daemon.config.write_text(before + "\nnonsense")
        else:
            self.configure(sinks)
        line = await self.hangUp()
        if wrong:
            self.daemon.config.write_text(before)
        if wrong != ("not reloaded" in line):
            raise BrokenPromise(f"a {'wrong' if wrong else 'right'} configuration, and: {line}")
        if not wrong:
            self.ledger.changed()

    async def hangUp(self) -> str:
        """Send SIGHUP; what it says when it has done it."""
        said = self.daemon.heard("reloaded: ")
        self.daemon.signal("HUP")
        return await self.within(30 + SLACK, said, "SIGHUP is not obeyed")

    async def rotate(self) -> None:
        """As logrotate does."""
        for place in self.places:
            if isinstance(place, Lines):
                place.rotate()
        line = await self.hangUp()
        if "not reloaded" in line:
            raise BrokenPromise(line)

    async def outbox(self, *words: str) -> str:
        """C{twist iris-outbox}, which must succeed beside the daemon; what it says."""
        twist = str(Path(sys.executable).with_name("twist"))
        out, err, status = await getProcessOutputAndValue(
            sys.executable,
            (twist, "iris-outbox", "--spool", str(self.spool), *words),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            reactor=self.reactor,
        )
        if status and not self.full:
            raise BrokenPromise(f"iris-outbox {words}: {(out + err).decode()}")
        return out.decode()

    async def get(self, url: str) -> str:
        """A page, which must be there."""
        answer = await self.http.request(b"GET", url.encode())
        body: bytes = await readBody(answer)
        if answer.code != 200:
            raise BrokenPromise(f"{url} answers {answer.code}: {body[:200]!r}")
        return body.decode()

    async def look(self) -> None:
        """At the metrics and the console."""
        console = f"http://127.0.0.1:{self.console}"
        for path in ("", "account", "outbox", "outbox.json", "console.js"):
            got = self.get(f"{console}/{path}")
            # Of a spool that cannot be read there is nothing to show.
            if path != "outbox.json" or not self.full:
                await self.within(30 + SLACK, ensureDeferred(got), f"no answer: {path}")
            else:
                got.close()
        await self.depths()

    async def watch(self, seconds: float) -> None:
        """Look at the console's stream for a while, and go away."""
        protocol = Protocol()
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.console)
        try:
            await connectProtocol(endpoint, protocol)
        except Exception:
            # Nobody is there just now.
            return
        protocol.transport.write(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await self.wait(seconds)
        protocol.transport.abortConnection()

    async def depths(self) -> dict[tuple[str, str], float]:
        """What the metrics say of the outbox."""
        getting = self.get(f"http://127.0.0.1:{self.metrics}/metrics")
        text = await self.within(30 + SLACK, ensureDeferred(getting), "no metrics")
        return {(sink, state): float(value) for sink, state, value in _CALLS.findall(text)}

    # The run

    async def run(self) -> None:
        """@raise BrokenPromise: when one is."""
        # Nothing outlives a run that is interrupted, either.
        self.reactor.addSystemEventTrigger("before", "shutdown", self.leave)
        try:
            await self.begin()
            began, end = time.monotonic(), time.monotonic() + self.seconds
            while time.monotonic() < end:
                share = (time.monotonic() - began) / self.seconds
                self.kills = share < KILLS
                await self.trouble(min(self.random.uniform(*TROUBLE), self.seconds / 3))
                await self.well()
            await self.end()
            self.checkGrowth()
        finally:
            await self.leave()

    async def _leave(self) -> None:
        self.daemon.ending = True
        if self.daemon.isRunning:
            await self.daemon.kill()
        for place in self.places:
            with suppress(Exception):
                await place.stop()
        self.book.close()
        if self.small is not None:
            subprocess.run(["umount", "--lazy", str(self.small)], check=True)
            self.small = None

    def leave(self) -> Deferred[None]:
        """End everything that was started."""
        if self.leaving is None:
            self.leaving = ensureDeferred(self._leave())
        done: Deferred[None] = Deferred()

        def left(result: Any) -> Any:
            done.callback(None)
            return result

        self.leaving.addBoth(left)
        return done

    def deeds(self) -> list[tuple[int, Callable[[], object]]]:
        """Of some trouble now and of other trouble later, each has its weight."""
        always: list[tuple[int, Callable[[], object]]] = [
            (60, self.isCalled),
            (6, self.toldAgain),
            (1, self.somebodyLooks),
            (1, self.somebodyWatches),
        ]
        some: list[list[tuple[int, Callable[[], object]]]] = [
            [(4, self.dropped), (1, self.allDropped)],
            [(3, self.serverHangs), (3, self.discoveryIs), (4, self.serverWorks)],
            [(1, self.platformRestarts)],
            [(4, self.networkIs)],
            [(4, self.tokenIs), (2, self.tokensAreRefused)],
            [(2, self.configurationIs)],
            [(2, self.filesMove)],
            [(2, self.diskIs)],
            [(1, self.daemonStops)],
            [(1, self.deadLettersAreListed)],
            *(
                [(2, lambda p=place: self.placeIs(p)), (1, lambda p=place: self.placeIsWell(p))]
                for place in self.places
            ),
        ]
        chosen = [d for deeds in some for d in deeds if self.random.random() < 0.4]
        ends = self.random.random() < 0.6
        return [*always, *chosen, (1 if self.kills and ends else 0, self.daemonEnds)]

    async def trouble(self, seconds: float) -> None:
        """Anything may happen."""
        weights, deeds = zip(*self.deeds(), strict=True)
        self.tell(f"trouble for {seconds:.0f} s")
        while seconds > 0:
            (deed,) = self.random.choices(deeds, weights)
            self.deed = deed.__name__.replace("<lambda>", "sinks")
            self.done[self.deed] += 1
            if self.deed != "isCalled":
                self.note(self.deed)
            deed()
            pause = self.random.expovariate(1 / 0.1)
            seconds -= pause
            await self.wait(pause)
            self.check()

    async def well(self) -> None:
        """No fault any more: all comes up, everything arrives."""
        self.proxy.cut()
        self.proxy.fault = Fault()
        self.emptyDisk()
        self.sandbox.behave()
        await self.settled()
        await self.sandbox.comeBack()
        self.sandbox.behave()
        self.proxy.fault = Fault()
        self.emptyDisk()
        for place in self.places:
            await place.mend()
        self.tell("all shall be well")
        everything = self.everything()
        for account in everything:
            self.token(account)
        await self.reload(everything)
        # What the network swallowed is not sent again, and its connections are of no use.
        self.proxy.cut()
        self.tell("connecting")
        await self.until(COMING_UP + SLACK, self.notConnected, "not connected")
        self.tell("connected")
        probes = []
        for account in everything:
            probes.append(self.sandbox.placeCall(account))
            self.ledger.placed(probes[-1])
        await self.until(
            30 + SLACK, lambda: [c.to for c in probes if c.state != "acknowledged"], "unheard"
        )
        if any(excuse.dead for excuse in self.ledger.excuses.values()):
            await self.outbox("retry")
        self.tell("giving")
        await self.given()
        for place in self.places:
            if isinstance(place, Exec):
                place.excuse.repeats += self.daemon.tooLong
            if isinstance(place, Lines):
                place.forget()
        self.daemon.tooLong = 0
        self.ledger.close(place.name for place in self.places)
        self.check()
        self.daemon.searchFor(self.secrets())
        self.sandbox.platform.calls.clear()
        if not self.kills:
            self.readings.append(self.daemon.readings())
        self.full = False
        self.done["times all was well"] += 1
        self.tell(f"all was well: {dict(self.ledger.counts)}, {self.readings[-1:]}")

    async def settled(self) -> None:
        """What was begun is over."""
        await self.until(
            150 + SLACK, lambda: [*self.underWay.values()], "what was begun does not end"
        )

    def notConnected(self) -> list[str]:
        there = {session.routingId for session in self.sandbox.sessions}
        return [account for account in self.everything() if account not in there]

    async def given(self) -> None:
        """Wait until nothing is owed."""
        end = time.monotonic() + GIVEN + SLACK
        # Since when nothing is owed any more: what is not there by then does not come.
        last: float | None = None
        pause = 0.2
        while True:
            for place in self.places:
                await place.look()
            missing = self.ledger.missing()
            owed = {key: n for key, n in (await self.depths()).items() if n}
            if not missing and not owed:
                return
            self.check()
            last = None if owed else last or time.monotonic()
            if time.monotonic() > min(end, (last or end) + SLACK):
                raise BrokenPromise(f"owed: {owed}; acknowledged and not given: {missing[:10]}")
            if any(state == "dead" for _, state in owed):
                await self.outbox("retry")
            self.tell(f"owed: {owed}; {len(missing)} not given: {missing[:3]}")
            await self.wait(pause)
            pause = min(3.0, pause * 1.5)

    async def end(self) -> None:
        """It ends as it should, and leaves nothing."""
        self.ends.append(await self.daemon.end(ENDED + SLACK))
        for place in self.places:
            await place.look()
        self.ledger.close(place.name for place in self.places)
        with open(f"{self.spool}.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with sqlite3.connect(self.spool) as tables:
            (left,) = tables.execute("SELECT count(*) FROM deliveries").fetchone()
        if left:
            raise BrokenPromise(f"{left} deliveries in the spool at the end")
        self.check()

    def checkGrowth(self) -> None:
        """
        The second half of its life is like the first.

        @raise BrokenPromise: when it is not.
        """
        readings = self.readings[max(1, int(len(self.readings) * WARM_UP)) :]
        if len(readings) < READINGS:
            return
        middle = len(readings) // 2
        for name, most in (("files", FILES), ("threads", THREADS), ("memory", MEMORY)):
            values = [getattr(reading, name) for reading in readings]
            before, after = statistics.median(values[:middle]), statistics.median(values[middle:])
            if after > before + most:
                raise BrokenPromise(f"{name} grew from {before} to {after}: {values}")

    def secrets(self) -> set[str]:
        """What was one since the last time that all was well, and may stand in no log."""
        found = self.tokens | set(self.sandbox.platform._websocketTokens)
        found |= {call.info["roomtoken"] for call in self.sandbox.platform.calls.values()}
        return {word for word in found if len(word) >= 16}

    def tell(self, words: str) -> None:
        """What happens, for who wants to know where it stands."""
        if self.verbose:
            print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)

    def note(self, line: str) -> None:
        """Write down what happened to calls."""
        self.book.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {line}\n")

    def check(self) -> None:
        """What must hold at any time."""
        for broken in (*self.daemon.broken, *self.failures, *self.logged):
            raise BrokenPromise(broken)

    def wait(self, seconds: float) -> Deferred[None]:
        """Let the reactor work."""
        return deferLater(self.reactor, seconds, lambda: None)

    async def within(self, seconds: float, waited: Deferred[Any], words: str) -> Any:
        """@raise BrokenPromise: when it takes longer."""
        waited.addTimeout(seconds, self.reactor, onTimeoutCancel=lambda *_: self._late(words))
        return await waited

    def _late(self, words: str) -> None:
        raise BrokenPromise(words + "\n" + "\n".join(self.daemon.last))

    async def until(self, seconds: float, missing: Callable[[], list[Any]], words: str) -> None:
        """@raise BrokenPromise: when something is missing for longer."""
        end = time.monotonic() + seconds
        while missing():
            self.check()
            if time.monotonic() > end:
                raise BrokenPromise(f"{words} after {seconds} s: {missing()}")
            await self.wait(0.1)

    def observe(self, event: LogEvent) -> None:
        """Nothing fails here, where a promise is broken in a callback for one."""
        if event.get("log_failure") is not None:
            self.logged.append(eventAsText(event, includeTraceback=True))


async def _main(reactor: Any, seed: int, minutes: float, verbose: bool, without: list[str]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="iris-soak-"))
    soak = Soak(reactor, seed, minutes * 60, folder)
    soak.verbose, soak.without = verbose, without
    globalLogBeginner.beginLoggingTo([soak.observe], redirectStandardIO=False, discardBuffer=True)
    broken = ""
    try:
        await soak.run()
    except BrokenPromise as e:
        broken = str(e)
    except Exception:
        # Out of a turn of ours: as bad as a promise that is broken.
        broken = traceback.format_exc()
    done = ", ".join(f"{count} {name}" for name, count in sorted(soak.done.items()))
    print(f"soak of the daemon, {minutes:g} minutes, seed {seed}: {done}")
    print(f"calls: {dict(sorted(soak.ledger.counts.items()))}")
    print(f"seconds of ends: {[round(end, 1) for end in soak.ends]}; readings: {soak.readings}")
    if broken:
        print(f"broken: {broken}\nits files are in {folder}\n")
        print(f"again: python -m tests.soak_daemon --minutes {minutes:g} --seed {seed}")
    else:
        shutil.rmtree(folder)
    print(
        "0 passed, 1 failed, 0 skipped" if broken else "1 passed, 0 failed, 0 skipped", flush=True
    )
    if broken:
        sys.exit(1)


def main() -> None:
    """Exits with 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--verbose", action="store_true", help="tell what happens")
    parser.add_argument("--without", action="append", default=[], help="a sink to leave out")
    chosen = parser.parse_args()
    seed = chosen.seed
    if seed is None:
        # The same in CI each time; anywhere else a new one, to find new things.
        seed = 20261126 if os.environ.get("CI") else random.randrange(2**32)
    print(f"soak of the daemon, seed {seed}", flush=True)
    react(
        lambda reactor: ensureDeferred(
            _main(reactor, seed, chosen.minutes, chosen.verbose, chosen.without)
        )
    )


if __name__ == "__main__":
    main()
