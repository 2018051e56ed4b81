"""
C{twist iris --check=online}, as an operator types it.
"""

from __future__ import annotations

from pathlib import Path

from iris_twisted.sandbox import Sandbox

from ..network import RID, NetworkCase
from ..processes import Program, startTwist


class OnlineCheck(NetworkCase):
    """Against the sandbox."""

    timeout = 60

    def check(self, sandbox: Sandbox, *arguments: str, token: str = "any") -> Program:
        options = ("--event-manager", sandbox.url, "--check=online", *arguments)
        return startTwist(self, "iris", *options, env={"IRIS_TOKEN": token})

    async def test_well(self) -> None:
        """Every step is told, and 0 is the end; no session stays, and no call is taken meanwhile."""
        sandbox = await self.sandbox()
        program = self.check(sandbox, "--routing-id", RID)
        await self.until(lambda: sandbox.sessions or program.ended.called)
        call = sandbox.placeCall(RID)
        self.assertEqual(await program.ended, 0, program.stderr)
        self.assertIn(
            f"ok      {RID}  event manager: {sandbox.url} names 127.0.0.1:", program.stdout
        )
        self.assertIn(f"ok      {RID}  session: connected as {RID}/", program.stdout)
        self.assertIn("1 of 1 accounts can connect", program.stdout)
        self.assertNotEqual(call.state, "acknowledged")
        await self.until(lambda: not sandbox.sessions)

    async def test_tokenRefused(self) -> None:
        """The event manager refuses the token: that step fails, with 77."""
        sandbox = await self.sandbox()
        program = self.check(sandbox, "--routing-id", RID, token=sandbox.token(RID, -60))
        self.assertEqual(await program.ended, 77, program.stderr)
        self.assertIn(f"failed  {RID}  event manager: ", program.stdout)
        self.assertIn("(-116)", program.stdout)
        self.assertNotIn("session:", program.stdout)

    async def test_session(self) -> None:
        """Discovery is well and the session is not: the second step fails, with its reason."""
        sandbox = await self.sandbox()
        sandbox.platform.mechanisms = ()
        program = self.check(sandbox, "--routing-id", RID)
        self.assertEqual(await program.ended, 76, program.stdout)
        self.assertIn(f"ok      {RID}  event manager: ", program.stdout)
        self.assertIn(f"failed  {RID}  session: ", program.stdout)
        self.assertIn("0 of 1 accounts can connect", program.stdout)

    async def test_login(self) -> None:
        """Who logs in does; the routing id is asked for; many accounts are checked in one run."""
        sandbox = await self.sandbox()
        sandbox.platform.directory.passwords.update(
            {"x@mail.test": "pass word", "y@mail.test": "another"}
        )
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "secret").write_text("pass word")
        managers = ("auth-manager", "identity-manager")
        accounts = "".join(
            f'[[account]]\nemail = "{name}@mail.test"\npassword-file = "secret"\n' for name in "xy"
        )
        (folder / "iris.toml").write_text(
            "".join(f'{name} = "{sandbox.url}"\n' for name in managers)
            + f'app-key = "key"\napp-secret-file = "secret"\n{accounts}'
        )
        program = self.check(sandbox, "--config", str(folder / "iris.toml"), token="")
        self.assertEqual(await program.ended, 77, program.stderr)
        for line in (
            f"ok      x@mail.test  login: {sandbox.url} knows us",
            "ok      x@mail.test  identity manager: it is x@sandbox.test",
            "ok      x@mail.test  session: connected as x@sandbox.test/",
            "failed  y@mail.test  login: ",
            "1 of 2 accounts can connect",
        ):
            self.assertIn(line, program.stdout)
        self.assertNotIn("pass word", program.stdout + program.stderr)

    async def test_many(self) -> None:
        """Of many accounts only what is wrong is told, and how many can connect."""
        sandbox = await self.sandbox()
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        rows = []
        for number in range(12):
            name = f"user-{number}@sandbox.test"
            (folder / str(number)).write_text(sandbox.token(name, -60 if number == 7 else 60))
            rows.append(f"{name},{number}\n")
        (folder / "accounts.csv").write_text("".join(rows))
        program = self.check(sandbox, "--accounts", str(folder / "accounts.csv"), token="")
        self.assertEqual(await program.ended, 77, program.stderr)
        said = program.stdout.partition("failed")
        self.assertNotIn("\nok ", program.stdout)
        self.assertTrue(said[2].startswith("  user-7@sandbox.test  event manager: "), said)
        self.assertTrue(program.stdout.endswith("11 of 12 accounts can connect\n"), said)

    async def test_mistakes(self) -> None:
        """Nobody to ask, or another word than online: a sentence, and 64."""
        for arguments, words in (
            (("--check=online",), "--check=online needs --event-manager"),
            (("--check=offline",), "--check=offline: it is --check, or --check=online"),
        ):
            program = startTwist(self, "iris", *arguments)
            self.assertEqual(await program.ended, 64)
            self.assertIn(words, program.stderr)
