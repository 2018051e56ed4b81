"""
Options, environment and file: one configuration, checked as a whole.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.daemon.accounts import Account
from iris_twisted.daemon.configuration import Configuration
from iris_twisted.daemon.named_files import sinkContext, tokensOf
from iris_twisted.daemon.operator_site import checkEndpoint
from iris_twisted.errors import IncorrectParameters
from iris_twisted.net.secret_files import readSecretFile
from iris_twisted.sinks.registry import shownSink

BASE = 'event-manager = "evm.test"\nrouting-id = "alice@x.test"\ntoken-file = "a.token"\n'
LOGIN = {
    "event-manager": "evm.test",
    "auth-manager": "aum.test",
    "app-key": "key",
    "app-secret-file": "s",
    "email": "a@mail.test",
    "password-file": "p",
    "routing-id": "alice@x.test",
}


class ConfigurationCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def file(self, text: str, name: str = "iris.toml") -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def read(
        self,
        text: str | None = None,
        environment: dict[str, str] | None = None,
        token: str | None = None,
        **given: Any,
    ) -> Configuration:
        path = None if text is None else self.file(text)
        options = {name.replace("_", "-"): value for name, value in given.items()}
        return Configuration.read(options, environment or {}, path, token)

    def refusal(self, *args: Any, **given: Any) -> str:
        with self.assertRaises(IncorrectParameters) as caught:
            self.read(*args, **given)
        self.assertNotIn("CANARY", caught.exception.message)
        return caught.exception.message


class Precedence(ConfigurationCase):
    """Option before environment before file before default."""

    def test_order(self) -> None:
        """Each beats the next, and says where it came from."""
        text = BASE + 'dialect = "framed"\nexec-timeout = 3\n'
        environment = {"IRIS_DIALECT": "stream", "IRIS_EXEC_TIMEOUT": "4.5"}
        for given, env, dialect, seconds in (
            ({}, {}, "framed", 3.0),
            ({}, environment, "stream", 4.5),
            ({"dialect": "auto", "exec_timeout": "5"}, environment, "auto", 5.0),
        ):
            found = self.read(text, env, **given)
            self.assertEqual((found["dialect"], found["exec-timeout"]), (dialect, seconds))
        self.assertEqual(self.read(BASE)["dialect"], "auto")
        self.assertEqual(self.read(BASE).settings.dialect, "auto")

    def test_kinds(self) -> None:
        """Everywhere in its own form."""
        found = self.read(BASE + 'sink = "stdout"\ninsecure = true\nattempts = 7\n')
        self.assertEqual((found["sink"], found["insecure"]), (["stdout"], True))
        environment = {
            "IRIS_SINK": "stdout 'exec:/bin/cat -'",
            "IRIS_INSECURE": "yes",
            "IRIS_ATTEMPTS": "9",
            "IRIS_OTHER": "is nobody's",
        }
        found = self.read(BASE, environment)
        self.assertEqual(found["sink"], ["stdout", "exec:/bin/cat -"])
        self.assertEqual((found["insecure"], found["attempts"]), (True, 9))
        self.assertFalse(self.read(BASE, {"IRIS_ANONYMOUS": "0"})["anonymous"])
        self.assertEqual(self.read(BASE, sink=["stdout"])["sink"], ["stdout"])

    def test_paths(self) -> None:
        """In a file they begin beside it; on the command line where one is."""
        self.assertEqual(self.read(BASE)["token-file"], str(self.folder / "a.token"))
        self.assertEqual(self.read(BASE, token_file="b")["token-file"], "b")

    def test_token(self) -> None:
        """A token of the environment goes before a file of the file."""
        (account,) = self.read(BASE, token="abc").accounts
        self.assertEqual((account.token, account.tokenFile), ("abc", None))
        self.assertNotIn("abc", repr(account))

    def test_proxies(self) -> None:
        """The environment's, unless another is named."""
        self.patch(os, "environ", {"https_proxy": "http://env.test:1"})
        for given, host in (({}, "env.test"), ({"proxy": "http://named.test:2"}, "named.test")):
            proxy = self.read(BASE, **given).settings.proxies.choose("evm.test", True)
            assert proxy is not None
            self.assertEqual(proxy.host, host)

    def test_outputs(self) -> None:
        """Text is for people, unless stdout is for programs."""
        self.assertEqual(self.read(BASE).output, "text")
        self.assertEqual(self.read(BASE, sink=["stdout"]).output, "none")
        self.assertEqual(self.read(BASE, sink=["stdout"], output="json").output, "json")


class Accounts(ConfigurationCase):
    """One or many."""

    def test_tables(self) -> None:
        """Each with its own files and sinks."""
        found = self.read(
            'event-manager = "evm.test"\nsink = ["stdout"]\nauth-manager = "aum.test"\n'
            'app-key = "k"\napp-secret-file = "s"\n'
            '[[account]]\nrouting-id = "a@x.test"\ntoken-file = "a.token"\n'
            '[[account]]\nrouting-id = "b@x.test"\nemail = "b@m.test"\npassword-file = "/p"\n'
            'sink = ["file:/x", "stdout"]\n'
        )
        self.assertEqual(
            found.accounts,
            (
                Account("a@x.test", str(self.folder / "a.token")),
                Account("b@x.test", None, ("file:/x", "stdout"), "b@m.test", "/p"),
            ),
        )
        self.assertEqual(found.sinks, ("stdout", "file:/x"))
        self.assertEqual([account.name for account in found.accounts], ["a@x.test", "b@x.test"])

    def test_login(self) -> None:
        """From email and password, with a routing id or somebody who knows it."""
        given = {name.replace("-", "_"): value for name, value in LOGIN.items()}
        (account,) = self.read(**given).accounts
        self.assertEqual((account.email, account.passwordFile), ("a@mail.test", "p"))
        del given["routing_id"]
        (account,) = self.read(**given, identity_manager="idm.test").accounts
        self.assertEqual((account.routingId, account.name), (None, "a@mail.test"))

    def test_mistakes(self) -> None:
        """Each is named with where it came from."""
        account = '[[account]]\nrouting-id = "a@x.test"\ntoken-file = "t"\n'
        many = 'event-manager = "evm.test"\n' + account
        for text, words in (
            (BASE + 'dialekt = "x"', "'dialekt' is no key; did you mean dialect?"),
            (BASE + 'zzz = "x"', "'zzz' is no key: there are"),
            (BASE + 'dialect = "latin"', "iris.toml: dialect must be one of auto"),
            (BASE + "dialect = 7", "dialect must be text"),
            (BASE + 'insecure = "yes"', "insecure must be true or false"),
            (BASE + "sink = [7]", "sink must be text, or a list"),
            (BASE + "attempts = 0", "attempts must be a whole number above zero, not 0"),
            (BASE + 'retry-for = "x"', "retry-for must be a number of seconds above zero"),
            (
                BASE + "webhook-timeout = " + "1" * 400,
                "webhook-timeout must be a number of seconds",
            ),
            (
                BASE + 'auth-manager = "https://u:CANARY@h.test"',
                "auth-manager 'https://...@h.test' must not",
            ),
            (BASE + "x = [", "cannot be read"),
            (BASE + account, "exclude each other"),
            (account, "[[account]] needs event-manager"),
            ("account = 7\nevent-manager = 'e'", "must hold [[account]] tables"),
            ("account = [7]\nevent-manager = 'e'", "account 1 must be a table"),
            (many + "sinks = 'x'", "account 1: 'sinks' is no key; did you mean sink?"),
            (many + "sink = 7", "account 1: sink must be text"),
            (many + "email = 'x'", "email and password-file need each other"),
            (many + "email = 'x'\npassword-file = 'p'", "either token-file, or email"),
            (many + account, "account 2: a@x.test is there already"),
            (many.replace('token-file = "t"', "token-file = 7"), "token-file must be text"),
            (many.replace('routing-id = "a@x.test"', ""), "routing-id is missing"),
            (many.replace('token-file = "t"', "email = 'm'\npassword-file = 'p'"), "auth-manager"),
            (
                'event-manager = "e"\nauth-manager = "a"\nidentity-manager = "i"\napp-key = "k"\n'
                'app-secret-file = "s"\n' + '[[account]]\nemail = "m"\npassword-file = "p"\n' * 2,
                "account 2: m is there already",
            ),
            (BASE + 'proxy = "socks://CANARY"', "proxy: proxy must be an http"),
            (BASE + 'ca-file = "/no"', "ca-file: trustRoot"),
            (BASE + 'trusted-sender = ["."]', "trusted-sender: trustedSenders"),
            (BASE + 'topics = "smoke"', "topics must be of audio, chat, pstn, video"),
            (BASE + 'auth-manager = "ftp://x"', "auth-manager 'ftp://x' must be https"),
        ):
            self.assertIn(words, self.refusal(text), text)
        for environment, words in (
            ({"IRIS_INSECURE": "perhaps"}, "IRIS_INSECURE must be true or false"),
            ({"IRIS_ATTEMPTS": "x"}, "IRIS_ATTEMPTS must be a whole number"),
            ({"IRIS_RETRY_FOR": "nan"}, "IRIS_RETRY_FOR must be a number of seconds"),
            ({"IRIS_SINK": "'"}, "IRIS_SINK is no list of words"),
        ):
            self.assertIn(words, self.refusal(BASE, environment))
        self.patch(os, "environ", {"https_proxy": "ftp://CANARY"})
        self.assertIn("https_proxy", self.refusal(BASE))

    def test_loginMistakes(self) -> None:
        """What a login needs."""
        for left, added, words in (
            ("app-key", {}, "needs --app-key"),
            ("app-secret-file", {}, "needs --app-secret-file"),
            ("password-file", {}, "need each other"),
            ("auth-manager", {}, "needs --auth-manager"),
            ("routing-id", {}, "--routing-id is missing"),
            ("event-manager", {}, "needs --event-manager"),
            ("", {"token-file": "t"}, "exclude each other"),
        ):
            given = {**LOGIN, **added}
            given.pop(left, None)
            options = {name.replace("-", "_"): value for name, value in given.items()}
            self.assertIn(words, self.refusal(**options), left)
        options = {n.replace("-", "_"): v for n, v in LOGIN.items() if "email" not in n}
        del options["password_file"]
        self.assertIn("--email is missing", self.refusal(**options))
        self.assertEqual(self.read(**options, anonymous=True).accounts, (Account("alice@x.test"),))


class Shown(ConfigurationCase):
    """What is printed of it."""

    def test_lines(self) -> None:
        """It is TOML again, says where each came from, and holds no secret."""
        text = (
            'event-manager = "evm.test"\nproxy = "http://me:CANARY@proxy.test:81"\n'
            'sink = ["webhook:https://h.test:8/CANARY?x=CANARY", "stdout"]\n'
            '[[account]]\nrouting-id = "a@x.test"\ntoken-file = "t"\nsink = "webhook:https://i.test/CANARY"\n'
        )
        found = self.read(text, {"IRIS_ATTEMPTS": "3"}, dialect="framed")
        printed = "\n".join(found.lines())
        self.assertNotIn("CANARY", printed)
        again = tomllib.loads(printed)
        self.assertEqual(again["proxy"], "http://...@proxy.test:81")
        self.assertEqual(again["sink"], ["webhook:https://h.test:8/...", "stdout"])
        self.assertEqual(again["account"][0]["sink"], ["webhook:https://i.test/..."])
        self.assertIn('dialect = "framed"  # --dialect\n', printed)
        self.assertIn("attempts = 3  # the environment variable IRIS_ATTEMPTS\n", printed)
        self.assertIn("anonymous = false  # the default\n", printed)
        one = "\n".join(self.read(BASE, token="CANARY").lines())
        self.assertIn("# with a token from the environment or stdin", one)
        self.assertNotIn("CANARY", one)
        options = {name.replace("-", "_"): value for name, value in LOGIN.items()}
        login = tomllib.loads("\n".join(self.read(**options).lines()))
        self.assertEqual(login["account"][0]["email"], "a@mail.test")

    def test_sinks(self) -> None:
        """A webhook's path may be a secret, and what a program gets; others are shown."""
        for spec, shown in (
            ("stdout", "stdout"),
            ("file:/a/b c", "file:/a/b c"),
            ("exec:/a/b", "exec:/a/b"),
            ("exec:/a/b --token CANARY", "exec:/a/b ..."),
            ("exec+cloudevents:/a/b\tCANARY 'CANARY'", "exec+cloudevents:/a/b ..."),
            ("webhook:https://h.test", "webhook:https://h.test"),
            ("webhook:https://h.test/x?y", "webhook:https://h.test/..."),
        ):
            self.assertEqual(shownSink(spec), shown)


class Secrets(ConfigurationCase):
    """Files with secrets."""

    def test_secretFiles(self) -> None:
        """One line of text, spaces and all."""
        for content, secret in (("a b\n", "a b"), ("grüße\r\n\n", "grüße"), ("x", "x")):
            path = self.file(content, "secret")
            self.assertEqual(readSecretFile("the password", path), secret)
        for data in (b"", b"\n", b"a\nb", b"a\x00", b"\xff\xfe", b"CANARY" * 20_000):
            path = str(self.folder / "secret")
            Path(path).write_bytes(data)
            with self.assertRaises(IncorrectParameters) as caught:
                readSecretFile("the password", path)
            self.assertIn("the password in", caught.exception.message)
            self.assertNotIn("CANARY", caught.exception.message)
        with self.assertRaises(IncorrectParameters):
            readSecretFile("the password", "/nowhere")

    def test_readBeforeStart(self) -> None:
        """Every secret is read before anything starts."""
        configuration = self.read(BASE)
        self.assertRaises(IncorrectParameters, tokensOf, configuration)
        self.file("the-token\n", "a.token")
        self.assertEqual(list(tokensOf(configuration).values()), ["the-token"])
        options = {name.replace("-", "_"): value for name, value in LOGIN.items()}
        secret, password = self.file("s", "s"), str(self.folder / "p")
        login = self.read(**{**options, "app_secret_file": secret, "password_file": password})
        with self.assertRaises(IncorrectParameters) as caught:
            tokensOf(login)
        self.assertIn("the password in", caught.exception.message)
        self.file("p", "p")
        self.assertEqual(list(tokensOf(login).values()), [None])
        short = self.read(BASE, webhook_secret_file=secret)
        self.assertRaises(IncorrectParameters, sinkContext, short, None, lambda line: None)
        unread = self.read(BASE, webhook_certificate_file=secret)
        with self.assertRaises(IncorrectParameters) as caught:
            sinkContext(unread, None, lambda line: None)
        self.assertIn("the webhook certificate in", caught.exception.message)

    def test_endpoints(self) -> None:
        """What is no endpoint is said to be none."""
        self.assertTrue(checkEndpoint("tcp:9100:interface=127.0.0.1"))
        for text in ("9100", "tcp", "tcp:x", "tcp:1:nonsense=2", ""):
            with self.assertRaises(IncorrectParameters, msg=text) as caught:
                checkEndpoint(text)
            self.assertIn("is no endpoint such as", caught.exception.message)
