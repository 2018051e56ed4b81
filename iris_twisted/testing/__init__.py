"""
For the tests of applications: a platform that makes trouble when it is asked to, for trial, pytest
and everything else.

C{pytest_plugin} is loaded by pytest itself; nothing here needs pytest.
"""

from .sandbox_thread import SandboxThread
from .trial import IrisTestMixin

__all__ = ["IrisTestMixin", "SandboxThread"]
