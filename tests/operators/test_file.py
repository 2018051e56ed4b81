"""
The file of operators, and the hashes in it.
"""

from __future__ import annotations

import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from iris_twisted.errors import IncorrectParameters
from iris_twisted.operators import Operator, Right, changeOperators, readOperators
from iris_twisted.operators.file import checkName
from iris_twisted.operators.hashes import checkHash, checkPassword, hashOf, isPassword

PASSWORD = "a CANARY password"
READ = frozenset([Right.READ])
BOTH = frozenset(Right)
# Of PASSWORD; made once, for it takes a while.
HASH = hashOf(PASSWORD)


def write(path: Path, text: str, mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


class Hashes(SynchronousTestCase):
    """Argon2id, and what must not go wrong with it."""

    def test_verify(self) -> None:
        """The password and no other; two hashes of one have other salts."""
        self.assertTrue(isPassword(HASH, PASSWORD))
        for other in ("", PASSWORD + " ", PASSWORD.upper(), "\udcff", "x\0"):
            self.assertFalse(isPassword(HASH, other), repr(other))
        self.assertNotEqual(hashOf(PASSWORD), HASH)
        checkHash(HASH)

    def test_oneLetterTwoWays(self) -> None:
        """How a keyboard composes an accent makes no other password (RFC 7617 section 2.1)."""
        self.assertTrue(isPassword(hashOf("caf\u00e9 au lait"), "cafe\u0301 au lait"))

    def test_broken(self) -> None:
        """What cannot be verified, or would take too long, is refused without being shown."""
        _, kind, version, costs, salt, key = HASH.split("$")
        for broken in (
            "",
            PASSWORD,
            HASH[:40],
            HASH + "$",
            HASH.replace("argon2id", "argon2i"),
            HASH.replace("v=19", "v=16"),
            f"${kind}${version}$m=7,t=2,p=1${salt}${key}",
            f"${kind}${version}$m=19456,t=0,p=1${salt}${key}",
            f"${kind}${version}$m=4000000,t=2,p=1${salt}${key}",
            f"${kind}${version}$m=19456,t=99999,p=1${salt}${key}",
            f"${kind}${version}${costs}${salt}$!!!",
            f"${kind}${version}${costs}$${key}",
        ):
            with self.assertRaises(IncorrectParameters) as caught:
                checkHash(broken)
            self.assertNotIn("CANARY", caught.exception.message)
            self.assertNotIn(key, caught.exception.message)
        self.assertFalse(isPassword(f"${kind}${version}${costs}${salt}a${key}", PASSWORD))

    def test_passwords(self) -> None:
        """Long enough, and what an HTTP header can carry; a refusal does not repeat it."""
        checkPassword("8 CANARY")
        checkPassword("é" * 256)
        for bad in ("7CANARY", "x" * 257, "", "CANARY\twith a tab", "CANARY\udcff byte"):
            with self.assertRaises(IncorrectParameters) as caught:
                checkPassword(bad)
            self.assertNotIn("CANARY", caught.exception.message)

    @given(st.text(min_size=8, max_size=30))
    @settings(max_examples=15, deadline=None)
    def test_anyText(self, password: str) -> None:
        """Whatever may be a password can be verified."""
        try:
            checkPassword(password)
        except IncorrectParameters:
            return
        self.assertTrue(isPassword(hashOf(password), password))


class Reading(SynchronousTestCase):
    """What stands in it, and where it is wrong."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    def refusal(self, text: str) -> str:
        with self.assertRaises(IncorrectParameters) as caught:
            readOperators(write(self.path, text))
        self.assertNotIn("CANARY", caught.exception.message)
        self.assertNotIn(HASH[20:], caught.exception.message)
        return caught.exception.message

    def test_lines(self) -> None:
        """Names, rights and hashes; comments and empty lines are none."""
        text = f"# us\n\nbob:read:{HASH}\n zoë:read,reject:{HASH}\r\n"
        found = readOperators(write(self.path, text))
        self.assertEqual(
            found, {"bob": Operator("bob", READ, HASH), "zoë": Operator("zoë", BOTH, HASH)}
        )
        self.assertEqual([o.mayReject for o in found.values()], [False, True])
        self.assertEqual([o.shownRights for o in found.values()], ["read", "read,reject"])
        self.assertNotIn(HASH[20:], repr(found))
        self.assertEqual(readOperators(write(self.path, "")), {})

    def test_mistakes(self) -> None:
        """Each names the file, the line and what is wrong, and shows no part of a secret."""
        good = f"bob:read:{HASH}\n"
        for text, line, words in (
            ("CANARY", 1, "must be NAME:RIGHTS:HASH"),
            (good + "\n# x\na:b:c:CANARY", 4, "must be NAME:RIGHTS:HASH"),
            (good + good, 2, "bob is there already"),
            (f":read:{HASH}", 1, "must have a name of 1 to 64 characters"),
            (f"{'x' * 65}:read:{HASH}", 1, "must have a name of 1 to 64 characters"),
            (f"a b:read:{HASH}", 1, "must have a name without spaces"),
            (f"a\x1bb:read:{HASH}", 1, "must have a name without spaces"),
            (f"zoe\u0308:read:{HASH}", 1, "must have a name without spaces"),
            (f"bob::{HASH}", 1, "must have rights of read, reject"),
            (f"bob:write:{HASH}", 1, "must have rights of read, reject"),
            (f"bob:reject:{HASH}", 1, "must have the right to read"),
            ("bob:read:CANARY", 1, "has no Argon2id hash"),
            (good + f"al:read:{HASH.replace('t=2', 't=99')}", 2, "takes too long"),
        ):
            message = self.refusal(text)
            self.assertTrue(message.startswith(f"{self.path}, line {line}"), message)
            self.assertIn(words, message)

    def test_unreadable(self) -> None:
        """A file that is not there, no text, too large, or open for others to write."""
        with self.assertRaises(IncorrectParameters) as caught:
            readOperators("/no/where")
        self.assertIn("'/no/where' cannot be read: No such file", caught.exception.message)
        with self.assertRaises(IncorrectParameters) as caught:
            readOperators("/no\0where")
        self.path.write_bytes(b"bob:\xff")
        self.path.chmod(0o600)
        with self.assertRaises(IncorrectParameters) as caught:
            readOperators(str(self.path))
        self.assertIn("no text", caught.exception.message)
        self.assertIn("too large", self.refusal("#" * (1024 * 1024 + 1)))
        for mode, allowed in ((0o640, True), (0o644, True), (0o620, False), (0o602, False)):
            write(self.path, f"bob:read:{HASH}", mode)
            if allowed:
                self.assertEqual(list(readOperators(str(self.path))), ["bob"])
            else:
                with self.assertRaises(IncorrectParameters) as caught:
                    readOperators(str(self.path))
                self.assertIn("chmod 600", caught.exception.message)

    @given(st.text(max_size=100))
    @settings(deadline=None)
    def test_anything(self, text: str) -> None:
        """Whatever stands there is operators, or a sentence."""
        path = Path(self.mktemp())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8", "replace"))
        path.chmod(0o600)
        try:
            self.assertEqual(readOperators(str(path)), {})
        except IncorrectParameters as e:
            self.assertIn(str(path), e.message)


class Changing(SynchronousTestCase):
    """At once, for good, for the owner only."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "operators"

    def add(self, *names: str, **kw: Any) -> None:
        def change(operators: dict[str, Operator]) -> None:
            for name in names:
                operators[name] = Operator(name, READ, HASH)

        changeOperators(str(self.path), change, **kw)

    def test_made(self) -> None:
        """Mode 0600 whatever the umask says, and nothing else is left in the folder."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        with self.assertRaises(IncorrectParameters):
            self.add("bob")
        self.assertFalse(self.path.exists())
        self.add("bob", make=True)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(list(readOperators(str(self.path))), ["bob"])
        self.assertEqual(os.listdir(self.folder), ["operators"])
        self.path.chmod(0o644)
        self.add("al")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_places(self) -> None:
        """Comments and order stay; who is new comes last, who is gone leaves no line."""
        write(self.path, f"# ours\nbob:read:{HASH}\n\n# theirs\n al:read:{HASH}\ncy:read:{HASH}")

        def change(operators: dict[str, Operator]) -> None:
            operators["al"] = attrs.evolve(operators["al"], rights=BOTH)
            operators["dan"] = Operator("dan", READ, HASH)
            del operators["bob"]

        changeOperators(str(self.path), change)
        self.assertEqual(
            self.path.read_text(),
            f"# ours\n\n# theirs\nal:read,reject:{HASH}\ncy:read:{HASH}\ndan:read:{HASH}\n",
        )

    def test_link(self) -> None:
        """A link stays one, and what it points to is changed."""
        real = self.folder / "real"
        write(real, "")
        self.path.symlink_to("real")
        self.add("bob")
        self.assertTrue(self.path.is_symlink())
        self.assertEqual(list(readOperators(str(real))), ["bob"])

    def test_owner(self) -> None:
        """Root may change the file of the daemon's user, who can still read it."""
        if os.getuid() != 0:
            raise SkipTest("only root can give files away")
        write(self.path, "")
        os.chown(self.path, 12345, 23456)
        self.add("bob")
        status = self.path.stat()
        self.assertEqual((status.st_uid, status.st_gid), (12345, 23456))

    def test_failure(self) -> None:
        """Whatever fails on the way leaves the old file, and no other."""
        write(self.path, f"bob:read:{HASH}\n")

        def fail(_: object) -> None:
            raise OSError(28, "No space left on device")

        for function in ("fsync", "replace"):
            patch = self.patch(os, function, lambda *_: fail(None))
            with self.assertRaises(IncorrectParameters) as caught:
                self.add("al")
            self.assertIn("cannot be written: No space left", caught.exception.message)
            patch.restore()
            self.assertEqual(os.listdir(self.folder), ["operators"])
            self.assertEqual(list(readOperators(str(self.path))), ["bob"])
        write(self.path, "nonsense")
        self.assertRaises(IncorrectParameters, self.add, "al")
        self.assertEqual(self.path.read_text(), "nonsense")
        self.path = Path("/no/where")
        self.assertRaises(IncorrectParameters, self.add, "al", make=True)

    def test_together(self) -> None:
        """Changes at the same time are one after the other: none is lost."""
        write(self.path, "")
        names = [f"u{number}" for number in range(24)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.add, names))
        self.assertEqual(sorted(readOperators(str(self.path))), sorted(names))

    def test_names(self) -> None:
        """What the check of a name lets pass can be written, and read again."""
        for name in ("bob", "zoë", "a@b.test", "x#y", "x" * 64):
            checkName(name)
            self.add(name, make=True)
            self.assertIn(name, readOperators(str(self.path)))


class Cost(SynchronousTestCase):
    """What a guess costs whoever guesses."""

    def test_slow(self) -> None:
        """A verification takes some milliseconds of a core: passwords cannot be tried by the million."""
        begun = time.process_time()
        isPassword(HASH, "wrong")
        self.assertGreater(time.process_time() - begun, 0.002)
