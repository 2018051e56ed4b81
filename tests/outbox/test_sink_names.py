"""
A store that calls sinks otherwise in its database than whoever uses it: nobody notices.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from . import test_stores
from .stores import STEPS as MODEL_STEPS
from .stores import addTo, record


def _name(sink: str) -> str:
    return f"called {sink}"


class Named(test_stores.PostgreSQL):
    """All that holds for a store holds for this one."""

    def open(self, forgetAfter: float = 1000.0, member: str = "m1", **options: Any) -> Any:
        return super().open(forgetAfter, member, sinkName=_name, **options)

    def test_adopted(self) -> None:
        """As of any store, once the other member has the sinks too."""
        another = super().another

        def knowing(member: str, **options: Any) -> Any:
            store = another(member, **options)
            self.did(store.due("t", 0.0, 0))
            return store

        self.patch(self, "another", knowing)
        super().test_adopted()

    # Hypothesis wants a function for each class.
    @settings(max_examples=40, deadline=None)
    @given(MODEL_STEPS)
    def test_model(self, steps: Any) -> None:
        """As of any store."""
        self.model(steps)

    def test_names(self) -> None:
        """In the database stand the names; whoever asks hears of the sinks that it knows."""
        store = self.open()
        self.addCleanup(lambda: self.did(store.close()))
        self.did(addTo(store, record("a"), "x"))
        self.assertEqual(self.sql("SELECT sink FROM outbox_deliveries"), [("called x",)])
        self.assertEqual(self.did(store.depths()), {("x", False): 1})
        self.did(store.adopt("m1", "m2"))
        other = self.another("m2")
        self.assertEqual(self.did(other.depths()), {("called x", False): 1})
        self.assertEqual(len(self.did(other.due("x", 1e12, 9)).due), 1)
        self.assertEqual(self.did(other.depths()), {("x", False): 1})
