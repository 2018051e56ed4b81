"""
Writes C{docs/reference/errors.md}: every message that an error of the package can have,
read from the source itself. A test compares the two.

    python docs/make_errors.py > docs/reference/errors.md
"""

from __future__ import annotations

import ast
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

What `onConnectionError` and the Deferreds of the API can say, made from the source by
`docs/make_errors.py`. What stands in braces is filled in; a secret never is. *Fault* says
who has to change something; *retry* whether the same call can succeed later: while
reconnecting, only these are tried again.

| code | error | message | fault | retry |
|---|---|---|---|---|
"""


def template(node: ast.expr, scope: ast.AST) -> list[str]:
    """The texts that an expression can be, with names in braces for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        parts = [
            v.value
            if isinstance(v, ast.Constant)
            else "{" + ast.unparse(v.value).replace("self.", "").lstrip("_") + "}"
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


def page() -> str:
    """The whole page."""
    rows = []
    for name, message in messages():
        kind = KINDS[name]
        shown = message.replace("|", "\\|")
        retry = "yes" if kind.retryable else "no"
        rows.append(f"| {kind.code} | `{name}` | {shown} | {kind.fault.value} | {retry} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    print(page(), end="")
