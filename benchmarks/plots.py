"""
The plots of a run, as SVG.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
# The same run gives the same file.
matplotlib.rcParams["svg.hashsalt"] = "iris-twisted"

from matplotlib import pyplot  # noqa: E402

__all__ = ["plot"]

_COLOUR = "#2a6f97"


def _save(folder: Path, name: str) -> None:
    pyplot.tight_layout()
    pyplot.savefig(folder / f"{name}.svg", metadata={"Date": None})
    pyplot.close()


def plot(values: dict[str, Any], folder: Path) -> None:
    """
    @param values: of C{results.json}; what is missing is left out.
    """
    if "hotPath" in values:
        names = list(values["hotPath"])[::-1]
        times = [values["hotPath"][name] for name in names]
        pyplot.figure(figsize=(7, 3))
        bars = pyplot.barh(names, times, color=_COLOUR)
        pyplot.bar_label(bars, fmt="%.1f", padding=3)
        pyplot.xscale("log")
        pyplot.xlim(right=max(times) * 2)
        pyplot.xlabel("microseconds of CPU per notification")
        _save(folder, "hot-path")
    if "sizes" in values:
        pyplot.figure(figsize=(6, 3.5))
        sizes = [int(size) for size in values["sizes"]]
        for name in next(iter(values["sizes"].values())):
            points = [row[name] for row in values["sizes"].values()]
            pyplot.plot([size / 1024 for size in sizes], points, marker="o", label=name)
        pyplot.xlabel("KiB per notification")
        pyplot.ylabel("microseconds of CPU")
        pyplot.legend()
        _save(folder, "sizes")
    if "restart" in values:
        pyplot.figure(figsize=(6, 3))
        pyplot.hist(values["restart"]["arrivals"], bins=60, color=_COLOUR)
        pyplot.xlabel("seconds after the server stopped")
        pyplot.ylabel("clients that came back")
        _save(folder, "restart")
