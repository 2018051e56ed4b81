"""
What pages show of a program's output, and whether it says the same: in shape, since numbers,
names and addresses are others each time.
"""

from __future__ import annotations

import re

from .test_packaging import ROOT

__all__ = ["differing", "sample", "shape"]

_VARYING = (
    (r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d{4})", "TIME"),
    (r"(?:https?|wss?)://[\w.-]+(?::\d+)?", "URL"),
    (r"[\w.+-]+@[\w.-]+(?:/[\w-]+)?", "USER"),
    (r"\b[\w.-]+\.[\w.-]+:\d+\b", "HOST"),
    (r"/tmp/[\w/.-]+", "PATH"),
    (r"\broom-[0-9a-f]+\b", "ROOM"),
    (r"\d[\d,.]*\d|\d", "N"),
    (r" +", " "),
)


def sample(page: str, first: str) -> list[str]:
    """
    The lines of a block of output, without those that are empty.

    @param page: its path in the repository.
    @param first: how it begins.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```text\n(.*?)^```$", text, re.M | re.S)
    (found,) = [block for block in blocks if block.startswith(first)]
    return [line for line in found.splitlines() if line.strip()]


def shape(line: str) -> str:
    """A line without what varies."""
    for pattern, word in _VARYING:
        line = re.sub(pattern, word, line)
    return line.strip()


def differing(lines: list[str], output: str) -> list[str]:
    """Those lines of a sample that the output has none like."""
    said = {shape(line) for line in output.splitlines()}
    return [line for line in lines if shape(line) not in said]
