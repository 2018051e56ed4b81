"""
How large the faults are: the whole as docs/explanation/cluster.md speaks of
it, or a part, for somebody who waits for it.
"""

from __future__ import annotations

import os

__all__ = ["ACCOUNTS", "RATE", "scaled"]

_SCALE = float(os.environ.get("IRIS_CLUSTER_SCALE", "1"))


def scaled(number: int, least: int) -> int:
    """So many, of something of which a part is enough for a look, but not less than that."""
    return max(least, round(number * _SCALE))


# Of most faults.
ACCOUNTS = scaled(300, 40)
# Calls a second.
RATE = 40
