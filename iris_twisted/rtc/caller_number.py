"""
The number of a caller.
"""

from __future__ import annotations

from typing import Any

__all__ = ["callerNumber"]


def callerNumber(info: dict[str, Any]) -> str | None:
    """The number that a notification's userdata shows, if it has one."""
    userdata = info.get("userdata")
    if not isinstance(userdata, dict):
        return None
    for part, names in (("data", ("cname", "cid")), ("notification", ("srcTN",))):
        section = userdata.get(part)
        if isinstance(section, dict):
            for name in names:
                if isinstance(section.get(name), str) and section[name]:
                    return str(section[name])
    return None
