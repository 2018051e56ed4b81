"""
Writes C{docs/reference/options.md} from the table of options. A test compares the two.

    python docs/make_options.py > docs/reference/options.md
"""

from __future__ import annotations

from typing import Any

from iris_twisted.cluster.demo_tap import Options as DemoOptions
from iris_twisted.cluster.tap import Options as ClusterOptions
from iris_twisted.daemon.option_table import GROUPS
from iris_twisted.operators.tap import Options as OperatorOptions
from iris_twisted.outbox.tap import Options as OutboxOptions
from iris_twisted.sandbox.call_tap import Options as CallOptions
from iris_twisted.sandbox.tap import Options as SandboxOptions

HEAD = """\
# Options of the commands

For operators, and for everybody at a terminal. Made from the source by `docs/make_options.py`.

## twist iris

Each option can be given on the command line, in the environment, and in the file that `--config`
names; the first of these counts. In the file a list is a TOML array, a flag is `true` or
`false`, a number is a number, and a path that is not absolute begins beside the file. An account
of the file is a table `[[account]]` with `routing-id`, `token-file` (or `email` and
`password-file`), and perhaps its own `sink`.

`--config FILE` (`IRIS_CONFIG`) names the file; `--check` checks everything, prints the
effective configuration without its secrets, and ends. `--check=online` tries the platform too, for
each account: login, routing id, event manager, session; it says which step fails, and why, and ends
with 0 when all could connect. The iris token itself may
stand in the environment variable `IRIS_TOKEN`.
"""
TABLE = """
| option | environment | kind | default | meaning |
|---|---|---|---|---|
"""

# What the environment says besides: to twist iris, and to nobody who embeds the library.
ENVIRONMENT = """
## The environment, besides

| variable | counts for |
|---|---|
| `IRIS_TOKEN` | the iris token itself, where no `--token-file` is named |
| `IRIS_CONFIG` | the file of `--config` |
| `IRIS_AMQP_PASSWORD`, `IRIS_REDIS_PASSWORD` | `amqp:` and `redis:`, without `password-file` |
| `https_proxy`, `http_proxy`, `all_proxy`, `no_proxy` | where `--proxy` names none |
| `NO_COLOR`, `TERM` | whether a terminal gets colours |
| `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID` | systemd, which sets them |
"""


def others() -> str:
    """The options of the other commands."""
    text = []
    several = OutboxOptions, OperatorOptions, ClusterOptions
    for kind in (SandboxOptions, CallOptions, *several, DemoOptions):
        long = " ".join(kind.longdesc.split())
        text.append(f"\n## twist {kind.command.split()[1]}\n\n`{kind.command} {kind.synopsis}`\n\n")
        text.append(f"{long}\n\n| option | default | meaning |\n|---|---|---|\n{_rows(kind)}")
        for name, _, sub, words in getattr(kind, "subCommands", ()):
            text.append(f"| `{name}` |  | {words} |\n")
            text.append(_rows(sub, f"{name} "))
    return "".join(text)


def _rows(kind: Any, prefix: str = "") -> str:
    rows = []
    for name, short, default, words in (
        *getattr(kind, "optParameters", ()),
        *((name, short, None, words) for name, short, words in getattr(kind, "optFlags", ())),
    ):
        letter = f", `-{short}`" if short else ""
        shown = "" if default is None else f"`{default}`"
        rows.append(f"| `{prefix}--{name}`{letter} | {shown} | {words} |\n")
    return "".join(rows)


def page() -> str:
    """The whole page."""
    rows = []
    for heading, options in GROUPS.items():
        rows.append(f"\n### {heading}\n{TABLE}")
        for option in options:
            short = f", `-{option.short}`" if option.short else ""
            default = "" if option.default in (None, (), False) else f"`{option.default}`"
            meaning = option.help.replace("|", "\\|")
            rows.append(
                f"| `--{option.name}`{short} | `{option.variable}` | {option.kind} | {default} "
                f"| {meaning} |\n"
            )
    return HEAD + "".join(rows) + ENVIRONMENT + others()


if __name__ == "__main__":
    print(page(), end="")
