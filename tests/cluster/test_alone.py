"""
A daemon without C{--cluster} pays nothing for it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import iris_twisted

_PROGRAM = """
import sys
from iris_twisted import tap
from iris_twisted.daemon import daemon, metrics
from iris_twisted.console import site
from iris_twisted.outbox.outbox import Outbox
from twisted.internet import reactor
options = tap.Options()
options.parseOptions(["--output", "none"])
service = tap.makeService(options, reactor)
service.startService()
reactor.callLater(0.5, reactor.stop)
reactor.run()
print(sorted(name for name in sys.modules if name.startswith(("psycopg", "iris_twisted.cluster"))))
"""


class Alone(SynchronousTestCase):
    """What is imported."""

    def test_imports(self) -> None:
        """Neither psycopg nor a module of the cluster, while it runs."""
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            capture_output=True,
            text=True,
            env={"PYTHONPATH": str(Path(iris_twisted.__file__).parent.parent)},
        )
        self.assertEqual(done.stdout.strip().splitlines()[-1:], ["[]"], done.stderr)

    def test_withoutTheExtra(self) -> None:
        """Each command that needs it says what to install, in one sentence, and ends with 64."""
        hidden = Path(self.mktemp()).absolute()
        (hidden / "psycopg").mkdir(parents=True)
        (hidden / "psycopg" / "__init__.py").write_text(
            "raise ModuleNotFoundError(\"No module named 'psycopg'\", name='psycopg')"
        )
        path = f"{hidden}:{Path(iris_twisted.__file__).parent.parent}"
        for command, words in (
            (["iris-cluster", "--cluster", "host=x", "list"], "twist iris-cluster needs psycopg: "),
            (["iris-cluster-demo"], "twist iris-cluster-demo needs psycopg: "),
        ):
            done = subprocess.run(
                [sys.executable, "-m", "twisted", *command],
                capture_output=True,
                text=True,
                env={"PYTHONPATH": path},
            )
            self.assertEqual(done.returncode, 64, done.stderr)
            self.assertEqual(
                done.stderr.strip(), f"{words}pip install 'iris-twisted[cluster]'", command
            )
