"""
The settings of librdkafka: those of a file, and what a sink cannot do without.
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import Any

import attrs

from ..errors import IncorrectParameters

__all__ = ["OURS", "ProducerSettings", "readSettings"]

# What the promise of this sink rests on, and so is always ours; the brokers stand in the
# specification.
OURS = {
    "acks": "all",
    "enable.idempotence": "true",
    "bootstrap.servers": "",
}
# Other names of the same.
_SAME = {
    "delivery.timeout.ms": "message.timeout.ms",
    "metadata.broker.list": "bootstrap.servers",
    "request.required.acks": "acks",
}
# What must not be set at all, and why.
_NEVER = {
    "bootstrap.servers": "the brokers stand in the sink",
    "message.timeout.ms": "the timeout stands in the sink",
    "transactional.id": "each call is taken by itself",
}
# Characters.
_LONGEST_FILE = 64 * 1024


def readSettings(path: str) -> dict[str, str]:
    """
    librdkafka's settings of a file: C{name=value} a line, C{#} for remarks.

    @raise IncorrectParameters: naming the file, and the line that is none or must not be there; a
        value may be a secret, and is not repeated.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_LONGEST_FILE + 1)
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is no text"
        raise IncorrectParameters(
            f"sink kafka: the settings in {path!r} cannot be read: {reason}"
        ) from None
    if len(text) > _LONGEST_FILE:
        raise IncorrectParameters(f"sink kafka: {path!r} is too large to hold settings")
    settings: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not name:
            raise IncorrectParameters(f"sink kafka: line {number} of {path!r} is no name=value")
        why = _whyNot(_SAME.get(name, name), value.lower())
        if why is not None:
            raise IncorrectParameters(f"sink kafka: {name} in {path!r} must not be {why}")
        settings[name] = value
    return settings


def _whyNot(name: str, value: str) -> str | None:
    if name in _NEVER:
        return f"set: {_NEVER[name]}"
    if OURS.get(name, value) != value:
        return f"set: it is always {OURS[name]}"
    if (name, value) == ("partitioner", "random"):
        return "random: an account's calls would lose their order"
    return None


@attrs.frozen
class ProducerSettings:
    """
    What a producer is made of.

    @ivar values: librdkafka's settings.
    @ivar files: digests of the files of keys and certificates that they name.
    """

    values: dict[str, Any] = attrs.field(repr=False)
    files: tuple[bytes, ...] = attrs.field(init=False, repr=False)

    @files.default
    def _read(self) -> tuple[bytes, ...]:
        found = []
        for name, path in self.values.items():
            if name.endswith(".location"):
                # What is no file librdkafka finds by itself, or refuses.
                with suppress(OSError, ValueError), open(path, "rb") as file:
                    found.append(sha256(file.read()).digest())
        return tuple(found)
