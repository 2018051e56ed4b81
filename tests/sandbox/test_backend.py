"""
The event manager before a real XMPP server: accounts, answers, mistakes.
"""

from __future__ import annotations

from pathlib import Path

import treq
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.errors import ConnectionFailed, IncorrectParameters, TokenRefused
from iris_twisted.sandbox import Account, Backend, SandboxError
from iris_twisted.sandbox import tap as sandboxTap
from iris_twisted.sandbox.backend import readAccounts

from ..network import RID, NetworkCase

GOOD = '[[account]]\nrouting-id = "Alice@Sandbox.test"\ntoken = "t"\npassword = "CANARY p"\n'


class Accounts(SynchronousTestCase):
    """The file of accounts."""

    def file(self, text: str) -> str:
        path = self.mktemp()
        Path(path).write_text(text)
        return path

    def test_read(self) -> None:
        """Routing ids are known in any case; no secret shows."""
        accounts = readAccounts(self.file(GOOD))
        self.assertEqual(accounts, {RID: Account("t", "CANARY p")})
        self.assertNotIn("CANARY", repr(accounts))

    def test_mistakes(self) -> None:
        """Each is named, with the file, and without a secret."""
        for text, words in (
            ("", "[[account]]"),
            ("account = 1", "[[account]]"),
            ("account = []", "[[account]]"),
            ("account = [1]", "account 1"),
            (GOOD + "other = 1", "account 1"),
            ('[x]\ny = "CANARY"\n' + GOOD, "'x' is no key"),
            (GOOD.replace("token", "tokens"), "did you mean token?"),
            (GOOD.replace('"t"', "1"), "token must be text"),
            (GOOD.replace('"t"', '"a CANARY b"'), "token must be one line"),
            (GOOD.replace("@", ""), "routingId"),
            (GOOD + GOOD, "account 2: Alice@Sandbox.test is there already"),
            (GOOD[:-2], "cannot be read"),
        ):
            path = self.file(text)
            with self.assertRaises(IncorrectParameters) as caught:
                readAccounts(path)
            self.assertIn(path, str(caught.exception))
            self.assertIn(words, str(caught.exception))
            self.assertNotIn("CANARY", str(caught.exception))
        with self.assertRaises(IncorrectParameters) as caught:
            readAccounts("/nowhere/accounts.toml")
        self.assertIn("/nowhere/accounts.toml cannot be read", str(caught.exception))

    def test_url(self) -> None:
        """A backend is a URL that a transport serves."""
        Backend("ws://127.0.0.1:5280/xmpp-websocket", {})
        Backend("wss://xmpp.example.test/ws", {})
        for url in ("xmpp:host:1", "foo://host", "ws://", "ws://h/../x", "ws://u:p@h"):
            self.assertRaises(SandboxError, Backend, url, {})

    def test_options(self) -> None:
        """What is wrong ends the command with the option's name."""
        path = self.file(GOOD)
        for arguments, words in (
            (["--backend", "foo://x", "--accounts", path], "--backend"),
            (["--backend", "ws://x", "--accounts", "/nowhere"], "--accounts"),
        ):
            with self.assertRaises(UsageError) as caught:
                sandboxTap.Options().parseOptions(arguments)
            self.assertIn(words, str(caught.exception))
        options = sandboxTap.Options()
        options.parseOptions(["--backend", "ws://x", "--accounts", path])
        self.assertIsInstance(options["realServer"], Backend)


class EventManager(NetworkCase):
    """Alone before another platform: a sandbox plays the real server here."""

    async def test_alone(self) -> None:
        """Who has the token gets in; nobody else does; there is nothing but discovery."""
        server = await self.sandbox()
        password = server.platform.websocketToken(RID)
        path = f"/xmpp-websocket/routingid/{RID}/timestamp/1/token/{password}"
        url = server.url.replace("http", "ws") + path
        backend = Backend(url, {"Alice@sandbox.test": Account("right", password)})
        server.platform.mechanisms = ("PLAIN",)
        manager = await self.sandbox(backend=backend)
        connection = self.connection()
        await connection.connect("right", RID, manager.url)
        self.assertTrue(connection.isConnectionAlive())
        self.assertIsNone(connection.serverInfo.turnCredentials)
        for routingId, token in ((RID, "wrong"), ("bob@sandbox.test", "right")):
            other = self.connection()
            with self.assertRaises(TokenRefused):
                await other.connect(token, routingId, manager.url)
        anonymous = self.connection(anonymous=True)
        with self.assertRaises(ConnectionFailed):
            await anonymous.connect("right", RID, manager.url)
        for path in ("/control/sessions", "/xmpp-websocket", "/v1.1/wsturnserver", "/pages/"):
            response = await treq.get(manager.url + path, persistent=False)
            await response.content()
            self.assertEqual(response.code, 404)

    async def test_pages(self) -> None:
        """A folder is served for clients in browsers, and nothing beside it."""
        folder = Path(self.mktemp())
        (folder / "inside").mkdir(parents=True)
        (folder / "inside" / "page.html").write_text("<p>hello")
        (folder / "secret").write_text("not for all")
        sandbox = await self.sandbox(pages=str(folder / "inside"))
        for path, code in (("page.html", 200), ("nothing", 404), ("%2e%2e/secret", 404)):
            response = await treq.get(f"{sandbox.url}/pages/{path}", persistent=False)
            content = await response.content()
            self.assertEqual((response.code, content == b"<p>hello"), (code, code == 200))
