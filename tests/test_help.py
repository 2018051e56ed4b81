"""
What the commands of twist say of themselves.
"""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.cluster.demo_tap import Options as DemoOptions
from iris_twisted.cluster.tap import Options as ClusterOptions
from iris_twisted.command_line.help_text import Entry, Section, helpText
from iris_twisted.daemon.option_table import GROUPS, OPTIONS
from iris_twisted.operators.tap import Options as OperatorOptions
from iris_twisted.outbox.tap import Options as OutboxOptions
from iris_twisted.sandbox.call_tap import Options as CallOptions
from iris_twisted.sandbox.tap import Options as SandboxOptions
from iris_twisted.tap import Options

COMMANDS: tuple[Any, ...] = (
    *(Options, SandboxOptions, CallOptions, OutboxOptions),
    *(OperatorOptions, ClusterOptions, DemoOptions),
)
WORDS = st.lists(st.text("abc-:/", min_size=1, max_size=12), max_size=12).map(" ".join)
ENTRIES = st.builds(Entry, st.text("-abcX ", min_size=1, max_size=50), WORDS)
SECTIONS = st.lists(
    st.builds(Section, st.just("Heading"), st.lists(ENTRIES, min_size=1, max_size=4)), max_size=3
)


class Help(SynchronousTestCase):
    """--help."""

    def test_begins(self) -> None:
        """The first line is what one types, and no more than that."""
        for kind in COMMANDS:
            first = str(kind()).splitlines()[0]
            self.assertEqual(first, f"Usage: {kind.command} {kind.synopsis}")

    def test_options(self) -> None:
        """Each option is there once, with what stands for its value if it has one."""
        for kind in COMMANDS:
            options = kind()
            lines = options.getUsage(width=100).splitlines()
            for name in set(options.longOpt):
                value = r" \S+" if name.endswith("=") else ""
                typed = re.compile(rf"  (-\w, |    )--{name.rstrip('=')}{value}(  .*)?$")
                with_ = [line for line in lines if typed.match(line)]
                self.assertEqual(len(with_), 1, (kind.command, name))

    def test_subcommands(self) -> None:
        """Each command of a command has help of its own, which begins with the whole way there."""
        for kind in (OutboxOptions, OperatorOptions, ClusterOptions):
            for name, _, sub, words in kind.subCommands:
                self.assertIn(f"  {name} ", kind().getUsage(width=100))
                self.assertIn(words, kind().getUsage(width=100))
                parent, options = kind(), sub()
                parent.subCommand, options.parent = name, parent
                text = str(options)
                self.assertTrue(text.startswith(f"Usage: {kind.command} {kind.before} {name}"))
                self.assertIn("-h, --help", text)

    def test_headings(self) -> None:
        """The options of twist iris stand under headings, in the order of the table."""
        usage = Options().getUsage(width=100)
        places = [usage.index(f"\n{heading}:\n") for heading in GROUPS]
        self.assertEqual(places, sorted(places))
        self.assertEqual(len(OPTIONS), len({option.name for option in OPTIONS}))

    @given(st.text("ab- ", max_size=90), SECTIONS, st.integers(1, 120))
    def test_width(self, about: str, sections: list[Section], width: int) -> None:
        """No line is longer than the terminal, but one of which the end is a word; none is lost."""
        text = helpText(about, sections, width)
        for line in text.splitlines():
            if len(line) > max(width, 40):
                typed = [f"  {entry.typed}".rstrip() for s in sections for entry in s.entries]
                self.assertTrue(line in typed or " " not in line.strip(), line)
        said = [entry.words for section in sections for entry in section.entries]
        for word in " ".join([about, *said]).split():
            self.assertIn(word, text)
