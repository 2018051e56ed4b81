"""
Every option of C{twist iris}, once: the command line, the environment and the
configuration file all have the same.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import attrs

from ..command_line.help_text import Entry, Section
from ..errors import IncorrectParameters
from ..net.durations import checkSeconds
from ..sinks.formats import FORMATS
from ..xmpp.events import DIALECTS

__all__ = ["GROUPS", "OPTIONS", "Option", "helpSections"]

_METAVARS = {"path": "FILE", "seconds": "SECONDS", "count": "N", "share": "SHARE"}
# Characters of a value that is none.
_LONGEST_SHOWN = 40
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


@attrs.frozen
class Option:
    """
    One option.

    @ivar name: as on the command line, without the dashes.
    @ivar kind: C{text}, C{path}, C{flag}, C{seconds}, C{count}, C{share} or C{list}.
    @ivar choices: the texts that it may be, or none for any.
    @ivar metavar: what stands for its value in the help, where kind and choices do not say.
    """

    name: str
    kind: str
    help: str
    default: Any = None
    short: str | None = None
    choices: Sequence[str] = ()
    metavar: str | None = None

    @property
    def typed(self) -> str:
        """As one types it, with what stands for its value."""
        name = f"-{self.short}, --{self.name}" if self.short else f"    --{self.name}"
        value = self.metavar or "|".join(self.choices) or _METAVARS.get(self.kind, "")
        return f"{name} {value}".rstrip()

    @property
    def words(self) -> str:
        """What it does, and what it is when it is not given."""
        if self.default in (None, False, ()):
            return self.help
        default = f"{self.default:g}" if isinstance(self.default, float) else self.default
        return f"{self.help} [default: {default}]"

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return "IRIS_" + self.name.upper().replace("-", "_")

    def ofText(self, text: str) -> Any:
        """
        Its value, from the command line or the environment.

        @raise IncorrectParameters: with half a sentence that says what it must be.
        """
        if self.kind == "flag":
            if text.lower() not in _TRUE + _FALSE:
                raise IncorrectParameters("must be true or false")
            return text.lower() in _TRUE
        if self.kind == "list":
            try:
                return self.check(shlex.split(text))
            except ValueError as e:
                raise IncorrectParameters(f"is no list of words: {e}") from None
        if self.kind in ("seconds", "count", "share"):
            try:
                return self.check(int(text) if self.kind == "count" else float(text))
            except ValueError:
                raise IncorrectParameters(self._number(text)) from None
        return self.check(text)

    def check(self, value: Any) -> Any:
        """
        Its value, from a file, where it has a type.

        @raise IncorrectParameters: with half a sentence that says what it must be.
        """
        if self.kind == "flag":
            if not isinstance(value, bool):
                raise IncorrectParameters("must be true or false")
        elif self.kind == "seconds":
            try:
                return checkSeconds("", value)
            except IncorrectParameters:
                raise IncorrectParameters(self._number(value)) from None
        elif self.kind == "count":
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise IncorrectParameters(self._number(value))
        elif self.kind == "share":
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not 0 < value <= 1:
                raise IncorrectParameters(self._number(value))
        elif self.kind == "list":
            values = [value] if isinstance(value, str) else value
            if not isinstance(values, list) or not all(isinstance(v, str) and v for v in values):
                raise IncorrectParameters("must be text, or a list of it")
            return values
        elif not isinstance(value, str) or not value:
            raise IncorrectParameters("must be text, and not empty")
        elif self.choices and value not in self.choices:
            raise IncorrectParameters(f"must be one of {', '.join(self.choices)}, not {value!r}")
        return value

    def _number(self, value: object) -> str:
        shown = repr(value)[:_LONGEST_SHOWN]
        if self.kind == "share":
            return f"must be a number above 0 and at most 1, not {shown}"
        what = "a number of seconds" if self.kind == "seconds" else "a whole number"
        return f"must be {what} above zero, not {shown}"


_WHERE = (
    Option("event-manager", "text", "The event manager: host, host:port or https:// URL.",
           short="e", metavar="URL"),
    Option("routing-id", "text", "Who to connect as: user@domain.",
           short="r", metavar="USER@DOMAIN"),
    Option("token-file", "path", "A file with the iris token, read again when it changes; - is "
           "stdin. Without it, the environment variable IRIS_TOKEN.", short="t"),
    Option("accounts", "path", "A file of many accounts, each with a token file: CSV, or TOML.",
           short="A"),
    Option("anonymous", "flag", "Log in as an anonymous user.", False, "a"),
)  # fmt: skip
_LOGIN = (
    Option("auth-manager", "text", "The auth manager to log in at for tokens.", metavar="URL"),
    Option("app-key", "text", "The application's key at the auth manager.", metavar="KEY"),
    Option("app-secret-file", "path", "A file with the application's secret for the auth manager."),
    Option("email", "text", "The user to log in as at the auth manager.", metavar="ADDRESS"),
    Option("password-file", "path", "A file with the password of --email."),
    Option("identity-manager", "text", "The identity manager, which is asked for the "
           "routing id when none is given.", metavar="URL"),
    Option("notification-manager", "text", "The notification manager, where --topics are "
           "subscribed.", metavar="URL"),
    Option("topics", "text", "What to be notified of: audio, chat, pstn, video, with commas.",
           "pstn,video", metavar="LIST"),
    Option("app-domain", "text", "The application's domain, when it is not that of the "
           "routing id.", metavar="DOMAIN"),
)  # fmt: skip
_HOW = (
    Option("dialect", "text", "How to speak XMPP: auto, stream or framed.", "auto", "d",
           ("auto", *DIALECTS)),
    Option("ca-file", "path", "A PEM file of certificates to trust instead of the system's.",
           short="c"),
    Option("insecure", "flag", "Allow http:// and certificates that do not verify. Dangerous.",
           False),
    Option("trusted-sender", "list", "A bare JID or domain whose notifications count too; may "
           "be given repeatedly.", (), metavar="JID"),
    Option("proxy", "text", "An HTTP proxy, http://[user:password@]host:port. Without it, the "
           "environment variables https_proxy, all_proxy and no_proxy.", metavar="URL"),
    Option("attempts", "count", "How many connections may be opened at a time.", 50),
)  # fmt: skip
_OUTPUT = (
    Option("output", "text", "How to write callbacks down: text, json (an object a line) or "
           "none. The default is text, and none when stdout is a sink.", None, "o",
           ("text", "json", "none")),
    Option("verbose", "flag", "Show more of what happens.", False, "v"),
)  # fmt: skip
_SINKS = (
    Option("sink", "list", "Where calls go: stdout, file:PATH, exec:PROGRAM, webhook:URL, "
           "amqp:URL, kafka:BROKERS/TOPIC, redis:URL/STREAM; may be given repeatedly.", (), "s",
           metavar="SINK"),
    Option("format", "text", "How sinks write calls: json, cloudevents or cloudevents-binary; "
           "a sink may have its own, webhook+cloudevents:URL.", "json", None, tuple(FORMATS)),
    Option("spool", "path", "A file in which calls wait for their sinks: what is acknowledged "
           "survives a crash."),
    Option("retry-for", "seconds", "How long a sink is tried before a call is a dead letter; a "
           "day with --spool or --cluster, otherwise a minute."),
    Option("forget-keys-after", "seconds", "For how long a call that is told again is known, so "
           "that sinks get it once: a day.", 86_400.0),
    Option("strict-order", "flag", "Let the calls of an account wait while one before them is "
           "tried again at a sink.", False),
    Option("exec-timeout", "seconds", "How long a program may take for a call.", 10.0),
    Option("webhook-timeout", "seconds", "How long a webhook may take for a call.", 10.0),
    Option("webhook-secret-file", "path", "A file with the secret that webhooks are signed "
           "with (Standard Webhooks: whsec_...)."),
    Option("webhook-certificate-file", "path", "A certificate in PEM form, for webhooks that ask "
           "who comes (mutual TLS)."),
    Option("webhook-key-file", "path", "The private key of that certificate, where it is not in "
           "the same file."),
)  # fmt: skip
_OPERATING = (
    Option("metrics", "text", "Where to serve /metrics, /healthz and /readyz, as Twisted writes "
           "it: tcp:9100:interface=127.0.0.1.", metavar="ENDPOINT"),
    Option("ready-share", "share", "The part of the accounts that must be connected for /readyz "
           "to say that this is ready.", 0.9),
    Option("console", "text", "Where to serve a page that shows the connections and their "
           "calls, as Twisted writes it: tcp:8088:interface=127.0.0.1.", metavar="ENDPOINT"),
    Option("operators", "path", "A file of who may look at the console and the metrics, and who "
           "may reject calls there: see twist iris-operator. Needed where these can be reached "
           "from other machines."),
    Option("open-to-all", "flag", "Show the console and the metrics to whoever can reach them: a "
           "proxy asks who may.", False),
)  # fmt: skip
_CLUSTER = (
    Option("cluster", "text", "A PostgreSQL database, as libpq writes it (host=HOST dbname=NAME), "
           "whose accounts are shared with the other daemons that name it: see twist "
           "iris-cluster.", metavar="CONNINFO"),
    Option("cluster-key-file", "path", "The file with the keys that decrypt the accounts' "
           "secrets: twist iris-cluster key."),
    Option("member", "text", "The name of this daemon in the cluster, another one for each; "
           "the host's name.", metavar="NAME"),
    Option("zone", "text", "What fails together with this daemon: two copies of an account are "
           "in two zones, where there are two.", metavar="NAME"),
    Option("capacity", "count", "How many accounts of the cluster this daemon may have.", 5000),
    Option("drain-timeout", "seconds", "How long this daemon hands its accounts over to others "
           "before it ends.", 30.0),
)  # fmt: skip
# For the help, under these headings.
GROUPS: Mapping[str, Sequence[Option]] = {
    "Where to connect, and as whom": _WHERE,
    "Tokens by logging in": _LOGIN,
    "How to connect": _HOW,
    "What is printed": _OUTPUT,
    "Where calls go": _SINKS,
    "Looking after it": _OPERATING,
    "Many machines": _CLUSTER,
}
OPTIONS = tuple(chain.from_iterable(GROUPS.values()))


def helpSections(others: Sequence[Entry]) -> list[Section]:
    """
    What the help says of all options.

    @param others: those of the command itself, which come last.
    """
    found = [
        Section(heading, [Entry(option.typed, option.words) for option in options])
        for heading, options in GROUPS.items()
    ]
    return [*found, Section("This command", others)]
