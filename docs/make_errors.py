"""
Writes C{docs/reference/errors.md}, and beside it a page for each kind of error: what it means,
what to do, and every message that it can have, read from the source itself. A test compares
them.

    python docs/make_errors.py > docs/reference/errors.md
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import iris_twisted
from iris_twisted import errors
from iris_twisted.net.failures import CAUSES

KINDS = {
    name: kind
    for name in errors.__all__
    if isinstance(kind := getattr(errors, name), type) and issubclass(kind, errors.IrisError)
}
HEAD = """\
# Errors

For whoever sees one: in a log, on the console, from `onConnectionError`, or from a Deferred of
the API. Type some of its words into *Search*, without the names and numbers in it, or look for its
code below: each kind has a page, with what it means, what to do, and all its messages. They
are made from the source by `docs/make_errors.py`. What stands in braces is filled in; a secret
never is.

Every error is an exception of `iris_twisted.errors` with a `code`, a `message`, a `fault` (who
has to change something) and `retryable` (whether the same can succeed later: while
reconnecting, only these are tried again).

| code | errors |
|---|---|
"""
TREE = """
```{toctree}
:hidden:
:maxdepth: 1

"""
WHOSE = {
    errors.Fault.CALLER: "this side (`caller`): the program, its options or its files",
    errors.Fault.PEER: "the other side (`peer`)",
    errors.Fault.NETWORK: "what is between the two sides (`network`)",
}
# What to do about each kind, for people.
ADVICE = {
    "ApiParameters": "Something answers at the event manager's address, and it is no event "
    "manager, or a newer one. Ask with `curl` what `twist iris --verbose` asks.",
    "BackendError": "The server ended the session, or refused to begin one, with the reason that "
    "the message gives: ask who runs it.",
    "CertificateRefused": "Look at the reason in the message. A certificate of your own authority "
    "is trusted with `--ca-file FILE` (`trustRoot=`); a wrong date may be that of this machine.",
    "CertificateWanted": "Give it one whose authority it knows: `certificate-file` in the URL of a "
    "broker, `--webhook-certificate-file`. The platform itself asks for none.",
    "ConnectionFailed": "Look at the reason in the message: name, address, port, proxy and "
    "firewall, in this order. It is tried again by itself while reconnecting.",
    "Conflict": "Two programs are connected with the same resource, or one of them twice: end "
    "one. It does not come back by itself, because it would throw the other one out.",
    "DatabaseFailed": "The PostgreSQL database of the cluster: the message gives its words. What "
    "somebody has to change ends a member when it starts; while it runs it tries again.",
    "IncorrectParameters": "Change what the message names. `twist iris --check` says the same "
    "without connecting.",
    "InvalidState": "Call `connect()` first, or wait for the `close()` under way.",
    "NoAnswer": "The network, or the server, is slow or hangs at the step that is named. Raise "
    "`connectTimeout` only if it is slow for a good reason.",
    "NotAuthorized": "Discovery was asked again already, so it is no stale websocket token: the "
    "user may be unknown to the XMPP server, or the password wrong.",
    "NotConnected": "The session is down for now: wait for `onConnected`. A call that was to be "
    "rejected meanwhile is over, or rings again after a resumed session.",
    "NotHeld": "Another member of the cluster has the account now, and is told of its calls.",
    "NotKept": "The disk of the spool is full or broken, or too many calls wait: see the message. "
    "The platform was told, so nothing was lost silently.",
    "NotSupported": "The server speaks no dialect, or no SASL mechanism, that may be used: a "
    "password needs TLS, `ANONYMOUS` needs `--anonymous`. Ask who runs the server.",
    "NotTaken": "The sink's receiver did not take a call now. It is tried again with backoff; "
    "what nobody takes in time is a dead letter: `twist iris-outbox`.",
    "PeerClosed": "The server, or something between, closed the socket without a word. It is tried "
    "again by itself; when it happens at the same step each time, look there.",
    "ProtocolViolation": "The peer sent what XMPP, the websocket protocol or a limit forbids: a "
    "broken server, or something between that is no XMPP server. Three times without a session "
    "up in between end the retrying.",
    "ServerLeaving": "Nothing: the server restarts, and the connection comes back by itself.",
    "SeeOther": "Nothing, if the host is one you trust: name it in `allowedHosts`.",
    "SinkRefused": "The receiver said that it will never take this call (another 4xx, status 65): "
    "look at what it answers. The call is a dead letter.",
    "StanzaError": "The server refused a request, for the reason that it gives: `item-not-found` "
    "after a reject means that the call is over.",
    "TokenRefused": "Get a new iris token: write it into the token file, call `updateToken()`, or "
    "let the program log in (`--auth-manager`). The steps stand in [the runbook]"
    "(../../production/runbook.md#minus-116).",
}


def template(node: ast.expr, scope: ast.AST) -> list[str]:
    """The texts that an expression can be, with names in braces for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        parts = [
            v.value if isinstance(v, ast.Constant) else "{" + filled(v.value) + "}"
            for v in node.values
            if isinstance(v, (ast.Constant, ast.FormattedValue))
        ]
        return ["".join(map(str, parts))]
    if isinstance(node, ast.Name):
        return [
            text
            for found in ast.walk(scope)
            if isinstance(found, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == node.id for t in found.targets)
            for text in template(found.value, scope)
        ]
    return []


def filled(node: ast.expr) -> str:
    """A word for what is filled in: the last name of it, or of what it is made of."""
    name = ""
    if isinstance(node, ast.Name):
        name = "reason" if node.id == "e" else node.id
    elif isinstance(node, ast.Attribute):
        name = "kind" if node.attr == "__name__" else node.attr
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        name = node.value
    elif isinstance(node, ast.Subscript | ast.Starred | ast.Await):
        name = filled(node.value)
    elif isinstance(node, ast.Call) and node.args:
        name = filled(node.args[0])
    name = name.lstrip("_")
    return (name.lower() if name.isupper() else name) or "..."


def messages() -> list[tuple[str, str]]:
    """Each error's name and message."""
    found = {
        ("PeerClosed" if closed else "ConnectionFailed", "{what} " + words)
        for _, closed, words in CAUSES
    }
    package = Path(iris_twisted.__file__).parent
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [
            n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        for function in functions:
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and call.args and isinstance(call.func, ast.Name):
                    if call.func.id in KINDS:
                        texts = template(call.args[0], function)
                        found.update((call.func.id, text) for text in texts)
    return sorted(found, key=lambda item: (-KINDS[item[0]].code, item))


def pages() -> dict[str, str]:
    """Every page below C{docs/reference}, by its path: the first one, and one for each kind."""
    found: dict[str, list[str]] = {}
    for name, message in messages():
        found.setdefault(name, []).append(message)
    codes: dict[int, list[str]] = {}
    for name in found:
        codes.setdefault(KINDS[name].code, []).append(name)
    text = [HEAD]
    for code, names in codes.items():
        links = ", ".join(f"[`{name}`](errors/{name}.md)" for name in names)
        text.append(f"| {code} `{KINDS[names[0]].name}` | {links} |\n")
    text.append(TREE)
    text += [f"errors/{name}\n" for name in found]
    text.append("```\n")
    return {"errors.md": "".join(text)} | {
        f"errors/{name}.md": kindPage(name, texts) for name, texts in found.items()
    }


def kindPage(name: str, texts: list[str]) -> str:
    """The page of one kind."""
    kind = KINDS[name]
    meaning = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    meaning = re.sub(r"C\{([^}]*)\}", r"`\1`", meaning)
    again = "It can succeed later" if kind.retryable else "Trying again cannot help"
    return (
        # The search leaves numbers out, but for those of the index.
        f"```{{index}} single: {kind.code}\n```\n\n"
        f"# {kind.code} `{name}`\n\n"
        f"For whoever sees one of the messages below, with the code {kind.code} "
        f"(`{kind.name}`): what it means, and what to do.\n\n"
        f"{meaning}\n\nAt fault is {WHOSE[kind.fault]}. {again}.\n\n"
        f"## What to do\n\n{ADVICE[name]}\n\n"
        "## The messages\n\n" + "".join(f"* {escaped(message)}\n" for message in texts)
    )


def escaped(message: str) -> str:
    """A message as Markdown shows it."""
    return re.sub(r"([\\`*_<\[\]])", r"\\\1", message)


if __name__ == "__main__":
    folder = Path(__file__).parent / "reference"
    for path, content in pages().items():
        if path == "errors.md":
            print(content, end="")
        else:
            (folder / path).write_text(content, encoding="utf-8")
