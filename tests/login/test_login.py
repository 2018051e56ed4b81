"""
Logging in: auth, identity and notification managers.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.connection.settings import Settings
from iris_twisted.errors import (
    ApiParameters,
    ConnectionFailed,
    IncorrectParameters,
    NoAnswer,
    TokenRefused,
)
from iris_twisted.login import (
    AuthManagerClient,
    IdentityManagerClient,
    Login,
    NotificationManagerClient,
    PlatformLogin,
)
from iris_twisted.net.jwt import claimsOf

from ..network import NetworkCase
from ..peers import WebServer
from ..tokens import jwt

PASSWORD = "password-CANARY"
SECRET = "app-secret-CANARY"


class Arguments(SynchronousTestCase):
    """What cannot be is refused at once, and no value is repeated that is a secret."""

    def test_credentials(self) -> None:
        """Each names what is wrong."""
        good: dict[str, Any] = {"email": "alice@x.test", "password": PASSWORD}
        for arguments, words in (
            (("ftp://x", "key", SECRET), "auth manager"),
            (("http://evm.test", "key", SECRET), "auth manager"),
            (("x.test", "", SECRET), "appKey"),
            (("x.test", "a:b", SECRET), "appKey"),
            (("x.test", "key", None), "appSecret"),
            (("x.test", "key", SECRET + "\n"), "appSecret"),
        ):
            with self.assertRaises(IncorrectParameters, msg=words) as caught:
                AuthManagerClient(*arguments, **good)
            self.assertIn(words, caught.exception.message)
            self.assertNotIn("CANARY", caught.exception.message)
        for keywords, words in (
            ({"email": "alice@x.test"}, "password"),
            ({"email": "", "password": PASSWORD}, "email"),
            ({"email": 7, "password": PASSWORD}, "email"),
            ({}, "email is missing"),
            ({"userId": ".."}, "userId"),
        ):
            with self.assertRaises(IncorrectParameters, msg=words) as caught:
                AuthManagerClient("x.test", "key", SECRET, **keywords)
            self.assertIn(words, caught.exception.message)

    def test_nobodyKnows(self) -> None:
        """Without a routing id somebody must know it."""
        auth = AuthManagerClient("x.test", "key", SECRET, userId="a@b")
        with self.assertRaises(IncorrectParameters):
            PlatformLogin(auth.login)

    def test_reprs(self) -> None:
        """No token in any repr."""
        self.assertNotIn("CANARY", repr(Login("CANARY", "id", None, "CANARY")))

    def test_claims(self) -> None:
        """Only an object of claims is one."""
        self.assertEqual(claimsOf(jwt({"domain": "d"})), {"domain": "d"})
        for token in ("", "a.b", "a.!.c", jwt([1]), "a.e30x=.c"):
            self.assertEqual(claimsOf(token), {}, token)


class OnTheSandbox(NetworkCase):
    """The sandbox plays all three."""

    async def platform(self, **options: Any) -> Any:
        sandbox = await self.sandbox(**options)
        directory = sandbox.platform.directory
        directory.passwords["alice@mail.test"] = PASSWORD
        directory.apps["key"] = SECRET
        self.settings = Settings(trustRoot=sandbox.caFile)
        return sandbox

    def auth(self, url: str, password: str = PASSWORD, **keywords: Any) -> AuthManagerClient:
        return AuthManagerClient(
            url,
            "key",
            SECRET,
            email="alice@mail.test",
            password=password,
            reactor=reactor,
            settings=self.settings,
            **keywords,
        )

    async def test_fromAppKeyToCall(self) -> None:
        """Login, routing id, subscriptions, connection, call; plain and TLS."""
        for tls in (False, True):
            sandbox = await self.platform(tls=tls)
            auth = self.auth(sandbox.url)
            login = PlatformLogin(
                auth.login,
                identity=IdentityManagerClient(sandbox.url, settings=self.settings),
                notifications=NotificationManagerClient(sandbox.url, settings=self.settings),
                topics=["video", "pstn"],
            )
            who = await login.run()
            self.assertEqual(who.routingId, "alice@sandbox.test")
            self.assertEqual(
                list(sandbox.platform.directory.subscriptions.values()),
                [{"sandbox.test/video/alice@sandbox.test", "federation/pstn/alice@sandbox.test"}],
            )
            self.assertEqual((await login.run()).routingId, who.routingId)
            connection = self.connection(settings=self.settings, tokenProvider=auth.token)
            await connection.connect(who.token, who.routingId, sandbox.url)
            rang = self.next("onNotification")
            sandbox.placeCall(who.routingId, topic="chat")
            call = sandbox.placeCall(who.routingId)
            await rang
            await connection.close()
            states = [c.state for c in sandbox.platform.calls.values()]
            self.assertEqual((states[0], len(self.recorder.of("onNotification"))), ("missed", 1))
            self.assertEqual(call.info["type"], "notify")

    async def test_tokenProvider(self) -> None:
        """A token that is refused while reconnecting is replaced by logging in again."""
        sandbox = await self.platform()
        auth = self.auth(sandbox.url, offline=True)
        login = await auth.login()
        connection = self.connection(tokenProvider=auth.token)
        await connection.connect(login.token, "alice@sandbox.test", sandbox.url)
        sandbox.platform.refusedTokens.add(login.token)
        again = self.next("onConnected")
        sandbox.drop()
        await again
        self.assertEqual(sandbox.platform.directory.logins, 2)
        self.assertEqual(self.recorder.of("onConnectionError"), [])

    async def test_refresh(self) -> None:
        """By the refresh token while it is good, by the password after that."""
        sandbox = await self.platform()
        plain = self.auth(sandbox.url)
        self.assertIsNone((await plain.login()).refreshToken)
        auth = self.auth(sandbox.url, offline=True)
        first = await auth.refresh()
        second = await auth.refresh()
        self.assertNotEqual(first.refreshToken, second.refreshToken)
        self.assertNotEqual(first.token, second.token)
        self.assertApproximates(
            second.expiresAt or 0.0,
            reactor.seconds() + 240 * 60,  # type: ignore[attr-defined]
            60,
        )
        elsewhere = self.auth(sandbox.url, offline=True, refreshPath="v1.1/nothing")
        await elsewhere.login()
        self.assertTrue((await elsewhere.refresh()).token)

    async def test_anonymous(self) -> None:
        """An anonymous user has the id that it chose, and keeps it."""
        sandbox = await self.platform()
        auth = AuthManagerClient(sandbox.url, "key", userId="guest-1@sandbox.test")
        login = await auth.login()
        self.assertEqual(login.id, "guest-1@sandbox.test")
        connection = self.connection(anonymous=True)
        await connection.connect(login.token, login.id, sandbox.url)
        self.assertEqual(claimsOf(await auth.token())["id"], login.id)
        with self.assertRaises(TokenRefused):
            await AuthManagerClient(sandbox.url, "other", userId="g@sandbox.test").login()

    async def test_refused(self) -> None:
        """A wrong password or app is told as such, and as nothing else."""
        sandbox = await self.platform()
        with self.assertRaises(TokenRefused) as caught:
            await self.auth(sandbox.url, "wrong-CANARY").login()
        self.assertIn("refused the login", caught.exception.message)
        self.assertNotIn("CANARY", caught.exception.message)
        sandbox.platform.directory.apps["key"] = "other"
        with self.assertRaises(TokenRefused):
            await self.auth(sandbox.url).login()
        stranger = NotificationManagerClient(sandbox.url)
        with self.assertRaises(TokenRefused):
            await stranger.subscribe("x.y.z", "alice@sandbox.test", ["pstn"])
        with self.assertRaises(TokenRefused):
            await IdentityManagerClient(sandbox.url).routingId("x.y.z", "alice")

    async def test_subscriptions(self) -> None:
        """Subscribing and unsubscribing may be repeated; unknown topics are named."""
        sandbox = await self.platform()
        token, who = sandbox.token("alice@sandbox.test"), "alice@sandbox.test"
        client = NotificationManagerClient(sandbox.url)
        topics = sandbox.platform.directory.subscriptions
        for _ in range(2):
            await client.subscribe(token, who, ["chat", "audio"], "app.test")
        (known,) = topics.values()
        self.assertEqual(known, {f"app.test/chat/{who}", f"app.test/audio/{who}"})
        for _ in range(2):
            await client.unsubscribe(token, who, ["chat"], "app.test")
        self.assertEqual(known, {f"app.test/audio/{who}"})
        with self.assertRaises(IncorrectParameters) as caught:
            await client.subscribe(token, who, ["smoke"])
        self.assertIn("'smoke'", caught.exception.message)


class OddAnswers(NetworkCase):
    """What a broken service answers ends in an error that says so."""

    async def answers(self, status: int, body: bytes, client: str = "auth") -> Any:
        server = await WebServer.start(reactor)
        self.addCleanup(server.stop)
        server.body = body
        server.answer = lambda _, __: (status, {})
        self.server = server
        url = server.url.rpartition("/")[0]
        if client == "auth":
            mail = {"email": "a@x.test", "password": PASSWORD}
            return await AuthManagerClient(url, "key", SECRET, **mail).login()
        if client == "identity":
            return await IdentityManagerClient(url).routingId("token-CANARY", "alice")
        topics = ["pstn"]
        return await NotificationManagerClient(url).subscribe("token-CANARY", "a@b.test", topics)

    async def test_errors(self) -> None:
        """Each names the service and what was wrong with its answer, and no secret."""
        echo = json.dumps({"error": {"message": f"no {PASSWORD} or token-CANARY"}}).encode()
        for client, status, body, kind, words in (
            ("auth", 200, b"", ApiParameters, "not JSON"),
            ("auth", 200, b"<html>", ApiParameters, "not JSON"),
            ("auth", 200, b"[]", ApiParameters, "has no token"),
            ("auth", 200, b'{"token": "a b", "id": "x"}', ApiParameters, "its token"),
            ("auth", 200, b'{"token": "CANARY-X"}', ApiParameters, "has no id"),
            ("auth", 500, echo, ConnectionFailed, "answered 500 (no ... or"),
            ("auth", 302, b"", ConnectionFailed, "answered 302"),
            ("auth", 200, b" " * 70_000, ConnectionFailed, "more than 65536 bytes"),
            ("identity", 200, b'{"routing_id": "alice"}', ApiParameters, "user@domain"),
            ("identity", 200, b'{"routing_id": 7}', ApiParameters, "has no routing_id"),
            ("notification", 200, b'{"id": ".."}', ApiParameters, "id must not be"),
            ("notification", 200, b'{"no": "id"}', ApiParameters, "has no id"),
            ("notification", 503, echo, ConnectionFailed, "answered 503"),
        ):
            with self.assertRaises(kind, msg=repr(body[:50])) as caught:
                await self.answers(status, body, client)
            message = caught.exception.message
            self.assertIn(words, message)
            self.assertIn(f"the {client} manager http://127.0.0.1:", message)
            self.assertNotIn(PASSWORD if client == "auth" else "token-CANARY", message)

    async def test_requests(self) -> None:
        """What is sent, to the byte."""
        login = await self.answers(200, b'{"token": "abc", "id": "u1", "expires_in": "240"}')
        ((headers, body),) = self.server.received
        pair = base64.b64encode(f"key:{SECRET}".encode()).decode()
        self.assertEqual(headers["authorization"], f"Basic {pair}")
        self.assertEqual(
            json.loads(body), {"type": "email", "email": "a@x.test", "password": PASSWORD}
        )
        self.assertApproximates(
            login.expiresAt,
            reactor.seconds() + 240 * 60,  # type: ignore[attr-defined]
            60,
        )
        for wrapped in (b'{"id": "s1"}', b'"s1"', b'"{\\"id\\": \\"s1\\"}"', b'"\\"s1\\""'):
            await self.answers(200, wrapped, "notification")
            self.assertEqual(
                self.server.paths[-1],
                "/v1/subscription/subscriber/s1/topic/federation%2Fpstn%2Fa%40b.test",
            )

    async def test_silence(self) -> None:
        """A service that says nothing is not waited for longer than the connect timeout."""
        server = await WebServer.start(reactor)
        self.addCleanup(server.stop)
        server.answer = lambda _, __: (0, {})
        settings = Settings(connectTimeout=0.05)
        url = server.url.rpartition("/")[0]
        asking: Deferred[str] = IdentityManagerClient(url, settings=settings).routingId("t", "u")
        with self.assertRaises(NoAnswer) as caught:
            await asking
        self.assertIn("did not answer within 0.05 seconds", caught.exception.message)
