"""
The tests of iris-twisted, for trial. They mirror the rooms of the package;
C{faults/} holds what needs a hostile network in between.
"""

import os
import random

import hypothesis
from hypothesis import core, settings

# No test is timed, and none depends on what an earlier run found.
settings.register_profile("iris", deadline=None, database=None)
settings.load_profile("iris")
# The same seed in CI each time; anywhere else a new one, to find new things.
_seed = os.environ.get("IRIS_HYPOTHESIS_SEED") or (
    "20261123" if os.environ.get("CI") else str(random.randrange(2**32))
)
core.global_force_seed = int(_seed)
print(f"hypothesis {hypothesis.__version__}, IRIS_HYPOTHESIS_SEED={_seed}", flush=True)
