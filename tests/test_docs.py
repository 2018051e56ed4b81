"""
The documentation that is made from the source is up to date.
"""

from __future__ import annotations

from runpy import run_path

from twisted.trial.unittest import SynchronousTestCase

from .test_packaging import ROOT


class Errors(SynchronousTestCase):
    """docs/errors.md."""

    def test_upToDate(self) -> None:
        """Every message of every error stands in the table."""
        page = run_path(str(ROOT / "docs" / "make_errors.py"))["page"]()
        self.assertEqual((ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), page)
        self.assertGreater(page.count("\n"), 80)
