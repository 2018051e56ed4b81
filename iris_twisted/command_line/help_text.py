"""
What C{--help} prints: what a command does, and what can be typed, under headings.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import TextWrapper

import attrs

__all__ = ["Entry", "Section", "helpText"]

# In characters: where the words begin, at the furthest.
_FURTHEST = 32
_NARROWEST = 40


@attrs.frozen
class Entry:
    """
    An option or a command.

    @ivar typed: as one types it, C{-c, --ca-file FILE}.
    @ivar words: what it does.
    """

    typed: str
    words: str


@attrs.frozen
class Section:
    """Entries that belong together."""

    heading: str
    entries: Sequence[Entry]


def _wrapped(words: str, width: int) -> list[str]:
    # What is typed is not broken, nor is a default.
    wrapper = TextWrapper(width, break_on_hyphens=False, break_long_words=False)
    kept = words.replace("[default: ", "[default:\xa0")
    return [line.replace("\xa0", " ") for line in wrapper.wrap(kept)]


def helpText(about: str, sections: Sequence[Section], width: int) -> str:
    """
    @param about: what the command does.
    @param width: of a line, in characters.
    """
    width = max(width, _NARROWEST)
    longest = max((len(e.typed) for section in sections for e in section.entries), default=0)
    column = min(longest + 4, _FURTHEST, width // 2)
    lines = ["", *_wrapped(about, width)] if about else []
    for section in sections:
        lines += ["", f"{section.heading}:"]
        for entry in section.entries:
            first, *others = _wrapped(entry.words, width - column) or [""]
            typed = f"  {entry.typed}"
            if len(typed) + 2 > column:
                lines.append(typed)
                typed = ""
            lines.append(f"{typed:{column}}{first}".rstrip())
            lines += [" " * column + other for other in others]
    return "\n".join(lines) + "\n"
