"""
HTTP Basic before a resource, over real sockets.
"""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from typing import Any

import treq
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.portal import IRealm
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.logger import capturedLogs
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory, ICredentialFactory
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request
from zope.interface import implementer
from zope.interface.verify import verifyObject

from iris_twisted.daemon.operator_site import OperatorSite
from iris_twisted.errors import IncorrectParameters
from iris_twisted.operators import Access, Operator
from iris_twisted.operators import checker as checkerModule
from iris_twisted.operators import guard as guardModule

from ..network import NetworkCase
from .test_checker import Timed
from .test_file import HASH, PASSWORD, write


class Greeting(Resource):
    """Says who may do what, at every path below it."""

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self._operator = operator

    def getChild(self, path: bytes, request: Request) -> Resource:
        return self

    def render_GET(self, request: Request) -> bytes:
        path = b"/".join(request.prepath).decode()
        return f"{self._operator.name} {self._operator.shownRights} {path}".encode()


@implementer(IAgentEndpointFactory)
class ByPath:
    """Connects to a unix socket."""

    def __init__(self, path: str) -> None:
        self._path = path

    def endpointForURI(self, uri: Any) -> UNIXClientEndpoint:
        return UNIXClientEndpoint(reactor, self._path)


class Guarding(NetworkCase):
    """Who is let in, and what the others are told."""

    async def begin(self, endpoint: str = "tcp:0:interface=127.0.0.1") -> None:
        self.path = Path(self.mktemp()).absolute()
        write(self.path, f"bob:read:{HASH}\nzoë:read,reject:{HASH}\n")
        self.reactor = Timed()
        self.access = Access(self.reactor, str(self.path))
        root = Resource()
        root.putChild(b"in", self.access.guard(Greeting))
        root.putChild(b"other", self.access.guard(Greeting))
        self.site = OperatorSite(reactor, endpoint, root)
        self.url = await self.site.listen()
        self.addCleanup(self.site.stop)

    async def ask(
        self, name: str | None = None, password: str = PASSWORD, path: str = "in", **kw: Any
    ) -> tuple[int, str]:
        headers = dict(kw.pop("headers", {}))
        if name is not None:
            pair = base64.b64encode(f"{name}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        pool = HTTPConnectionPool(reactor, persistent=False)
        self.response = await treq.get(self.url + path, headers=headers, pool=pool, **kw)
        return self.response.code, await self.response.text("utf-8")

    def header(self, name: str) -> list[str]:
        return list(self.response.headers.getRawHeaders(name, []))

    def test_interfaces(self) -> None:
        """Each implementer provides its interface."""
        path = Path(self.mktemp()).absolute()
        write(path, "")
        access = Access(Timed(), str(path))
        realm = guardModule._Realm(access._checker, Greeting)
        self.assertTrue(verifyObject(IRealm, realm))
        self.assertTrue(verifyObject(ICredentialsChecker, guardModule._ForRequest(access._checker)))
        self.assertTrue(verifyObject(ICredentialFactory, guardModule._Basic(b"x")))
        self.assertTrue(verifyObject(IResource, access.guard(Greeting)))

    async def test_letIn(self) -> None:
        """Each sees what is theirs, at the guard's own place and below it; nothing may be kept."""
        await self.begin()
        self.assertEqual(await self.ask("bob"), (200, "bob read in"))
        self.assertEqual(self.header("cache-control"), ["no-store"])
        self.assertEqual(await self.ask("zoë", path="in/a/b"), (200, "zoë read,reject in/a/b"))
        self.assertEqual(await self.ask("bob", path="other/"), (200, "bob read other/"))

    async def test_challenge(self) -> None:
        """Without a name, with another scheme or with nonsense one is asked for both; none counts."""
        await self.begin()
        for headers in (
            {},
            {"Authorization": ""},
            {"Authorization": "Basic"},
            {"Authorization": "Basic "},
            {"Authorization": "Basic !!!"},
            {"Authorization": "Basic Ym9i"},
            {"Authorization": "Bearer x"},
            {"Authorization": "Digest username=bob"},
        ):
            status, text = await self.ask(headers=headers)
            self.assertEqual((status, text), (401, "Unauthorized"), headers)
            self.assertEqual(
                self.header("www-authenticate"), ['basic realm="iris", charset="UTF-8"']
            )
        self.assertEqual(len(self.access.limit), 0)

    async def test_wrong(self) -> None:
        """A wrong password and an unknown name get one and the same answer."""
        await self.begin()
        answers = set()
        for name, password in (("bob", "wrong"), ("eve", PASSWORD), ("bob", ""), ("", "")):
            answer = await self.ask(name, password)
            headers = [(k, v) for k, v in self.response.headers.getAllRawHeaders() if k != b"Date"]
            answers.add((*answer, repr(sorted(headers))))
        self.assertEqual([answer[0] for answer in answers], [401])

    async def test_tooOften(self) -> None:
        """After ten failures at any guard the address waits, by Retry-After; then it is let in."""
        await self.begin()
        with capturedLogs() as logs:
            for number in range(10):
                path = ("in", "other")[number % 2]
                self.assertEqual((await self.ask("bob", f"CANARY{number}", path))[0], 401)
            status, text = await self.ask("bob")
        self.assertEqual(status, 429)
        self.assertEqual(self.response.phrase, b"Too Many Requests")
        self.assertIn("too often", text)
        self.assertEqual(self.header("retry-after"), ["30"])
        self.assertEqual(self.header("www-authenticate"), [])
        self.assertEqual((await self.ask("bob", path="in/deep"))[0], 429)
        # Who says no name tries nothing.
        self.assertEqual((await self.ask())[0], 401)
        self.assertNotIn("CANARY", repr(logs))
        self.reactor.clock.advance(29.5)
        self.assertEqual((await self.ask("bob"))[0], 429)
        self.assertEqual(self.header("retry-after"), ["1"])
        self.reactor.clock.advance(0.5)
        self.assertEqual((await self.ask("bob"))[0], 200)

    async def test_lateInTheQueue(self) -> None:
        """Who waits for a turn while their address fails too often is told when to come again."""
        await self.begin()
        for _ in range(9):
            await self.ask("bob", "wrong")
        gate = threading.Event()
        self.addCleanup(gate.set)
        self.patch(checkerModule, "isPassword", lambda *_: not gate.wait(20))
        pool = HTTPConnectionPool(reactor, persistent=False)
        asking = [treq.get(self.url + "in", auth=("bob", x), pool=pool) for x in "xyz"]
        await self.until(lambda: len(self.access._checker._turns.waiting) == 1)
        gate.set()
        answers = [await asked for asked in asking]
        self.assertEqual(sorted(answer.code for answer in answers), [401, 401, 429])
        (late,) = (answer for answer in answers if answer.code == 429)
        self.assertEqual(late.phrase, b"Too Many Requests")
        self.assertIn(late.headers.getRawHeaders("retry-after"), (["30"], ["60"]))
        self.assertIsNone(late.headers.getRawHeaders("www-authenticate"))

    async def test_manyPages(self) -> None:
        """All pages of an operator at once are let in, also after the file was read again."""
        await self.begin()
        for _ in range(2):
            pool = HTTPConnectionPool(reactor, persistent=False)
            asking = [
                treq.get(self.url + "in", auth=("bob", PASSWORD), pool=pool) for _ in range(50)
            ]
            self.assertEqual({(await asked).code for asked in asking}, {200})
            self.access.reload()
            self.assertEqual(self.access._checker._known, {})

    async def test_crowd(self) -> None:
        """Where too many passwords wait to be verified, the others come again soon: no browser asks for another."""
        await self.begin()
        gate = threading.Event()
        self.addCleanup(gate.set)
        self.patch(checkerModule, "isPassword", lambda *_: not gate.wait(20))
        pool = HTTPConnectionPool(reactor, persistent=False)
        asking = [
            treq.get(self.url + "in", auth=(f"eve{n}", PASSWORD), pool=pool) for n in range(34)
        ]
        await self.until(lambda: len(self.access._checker._turns.waiting) == 32)
        status, _ = await self.ask("bob")
        self.assertEqual(status, 429)
        self.assertEqual(self.response.phrase, b"Too Many Requests")
        self.assertEqual(self.header("retry-after"), ["2"])
        self.assertEqual(self.header("www-authenticate"), [])
        gate.set()
        for asked in asking:
            self.assertIn((await asked).code, (401, 429))

    async def test_hangsUp(self) -> None:
        """Who hangs up while the password is verified gets no answer, and nothing is logged."""
        await self.begin()
        gate, begun = threading.Event(), threading.Event()
        self.addCleanup(gate.set)

        def slowly(*_: Any) -> bool:
            begun.set()
            return gate.wait(20)

        self.patch(checkerModule, "isPassword", slowly)
        pool = HTTPConnectionPool(reactor, persistent=False)
        asking = treq.get(self.url + "in", auth=("bob", PASSWORD), pool=pool)
        await self.until(begun.is_set)
        asking.cancel()
        await self.assertFailure(asking, CancelledError, Exception)
        await self.until(lambda: not self.site._connections.protocols)
        with capturedLogs() as logs:
            gate.set()
            await self.until(lambda: self.access._checker._known)
        self.assertEqual([log for log in logs if log.get("log_failure")], [])

    async def test_reload(self) -> None:
        """A changed file counts from then on, and says whether somebody lost something; a broken one does not."""
        await self.begin()
        self.assertEqual((await self.ask("bob"))[0], 200)
        write(self.path, f"bob:read:{HASH}\nzoë:read,reject:{HASH}\namy:read:{HASH}\n")
        self.assertFalse(self.access.reload())
        self.assertEqual((await self.ask("amy"))[1], "amy read in")
        write(self.path, "nonsense")
        self.assertRaises(IncorrectParameters, self.access.reload)
        self.assertEqual((await self.ask("bob"))[0], 200)
        write(self.path, f"bob:read:{HASH}\nzoë:read:{HASH}\namy:read:{HASH}\n")
        self.assertTrue(self.access.reload())
        self.assertEqual((await self.ask("zoë"))[1], "zoë read in")
        write(self.path, "")
        self.assertTrue(self.access.reload())
        self.assertEqual((await self.ask("bob"))[0], 401)

    async def test_unixSocket(self) -> None:
        """A unix socket asks too; everybody there counts as one."""
        path = f"/tmp/iris-{id(self)}.socket"
        await self.begin(f"unix:{path}")
        agent = Agent.usingEndpointFactory(
            reactor, ByPath(path), HTTPConnectionPool(reactor, persistent=False)
        )
        client = treq.client.HTTPClient(agent)
        for password, status in (("wrong", 401), (PASSWORD, 200)):
            response = await client.get("http://127.0.0.1/in", auth=("bob", password))
            await response.content()
            self.assertEqual(response.code, status)
        self.assertEqual(list(self.access.limit._known), ["unix"])
