"""
What this process holds: threads, files, sockets and child processes, as Linux counts them.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

__all__ = ["held"]

_PROC = Path("/proc/self")


def held(reactor: Any) -> Counter[str]:
    """
    How many of each there are: what is here afterwards, and was not before, was left behind.
    Threads of the reactor's pool stay, and count while they work.

    @return: nothing where there is no C{/proc}.
    """
    found: Counter[str] = Counter()
    if not (_PROC / "task").is_dir():
        return found
    pool = reactor.getThreadPool()
    found["a thread of the reactor's that works"] = len(pool.working)
    stay = {str(thread.native_id) for thread in pool.threads}
    # What they are called may change while they begin.
    found["a thread"] = len(set(os.listdir(_PROC / "task")) - stay)
    for number in os.listdir(_PROC / "fd"):
        try:
            # "socket:[12345]", "pipe:[12345]", "anon_inode:[eventpoll]", or a path.
            kind, special, _ = os.readlink(_PROC / "fd" / number).partition(":[")
        except OSError:
            continue  # The folder itself, while it was read.
        found[f"a {kind}" if special else "a file"] += 1
    for folder in Path("/proc").iterdir():
        # proc_pid_stat(5): the parent stands behind the name, which may hold anything.
        status = _said(folder / "stat") if folder.name.isdigit() else ""
        if status.rpartition(")")[2].split()[1:2] == [str(os.getpid())]:
            found["a child process"] += 1
    return found


def _said(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""  # It has ended meanwhile.
