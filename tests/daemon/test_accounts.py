"""
Files of accounts.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.daemon.accounts import Account, readAccounts
from iris_twisted.errors import IncorrectParameters
from iris_twisted.tap import Options

TOML = '[[account]]\nrouting-id = "a@b.test"\ntoken-file = "a.token"\n'


class Accounts(SynchronousTestCase):
    """CSV and TOML."""

    def file(self, text: str, suffix: str = ".csv") -> str:
        path = os.path.abspath(self.mktemp() + suffix)
        Path(path).write_text(text, encoding="utf-8")
        return path

    def test_read(self) -> None:
        """Token files are beside the file, unless they are absolute."""
        for text, suffix in (
            ("a@b.test,a.token\n", ".csv"),
            ("routing-id,token-file\na@b.test, a.token\n\n", ".csv"),
            ("\ufeffa@b.test,a.token", ".txt"),
            (TOML, ".toml"),
        ):
            path = self.file(text, suffix)
            (account,) = readAccounts(path)
            beside = os.path.join(os.path.dirname(path), "a.token")
            self.assertEqual(account, Account("a@b.test", beside))
        (account,) = readAccounts(self.file("a@b.test,/x/a.token"))
        self.assertEqual(account.tokenFile, "/x/a.token")

    def test_mistakes(self) -> None:
        """Each is named with its file and place."""
        for text, suffix, words in (
            ("", ".csv", "no account"),
            ("routing-id,token-file", ".csv", "no account"),
            ("a@b.test", ".csv", "row 1 must have routing-id and token-file"),
            ("a@b.test,", ".csv", "row 1"),
            ("a@b.test,x,y", ".csv", "row 1"),
            ("a@b.test,x\nab,x", ".csv", "row 2: routingId"),
            ("a@b.test,x\nA@b.test,y", ".csv", "row 2: A@b.test is there already"),
            ('"a', ".csv", "cannot be read"),
            ("", ".toml", "[[account]]"),
            (TOML + TOML, ".toml", "account 2: a@b.test is there already"),
            (
                TOML.replace("token-file", "token"),
                ".toml",
                "account 1: 'token' is no key; did you mean",
            ),
        ):
            path = self.file(text, suffix)
            with self.assertRaises(IncorrectParameters) as caught:
                readAccounts(path)
            self.assertIn(path, caught.exception.message)
            self.assertIn(words, caught.exception.message)
        self.assertRaises(IncorrectParameters, readAccounts, "/nowhere/accounts.csv")

    def test_options(self) -> None:
        """The option says what goes with it, and which token file is missing."""
        path = self.file("a@b.test,a.token")
        for arguments, words in (
            (["--accounts", path], "--accounts needs --event-manager"),
            (["-e", "evm.test", "--accounts", path, "-r", "a@b.test"], "--routing-id"),
            (["-e", "evm.test", "--accounts", path, "-t", "x"], "--token-file"),
            (["-e", "evm.test", "--accounts", "/nowhere"], "--accounts: /nowhere"),
            (["-e", "evm.test", "--accounts", path], "a.token"),
        ):
            with self.assertRaises(UsageError) as caught:
                Options().parseOptions(arguments)
            self.assertIn(words, str(caught.exception))
