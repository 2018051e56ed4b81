"""
L{iris_twisted.net.json_text}: security.md, "JSON".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.net.json_text import decodeJson, decodeJsonToWrite

from ..contract.test_contract import ContractCase

DECODERS: tuple[Callable[[str], Any], ...] = (decodeJson, decodeJsonToWrite)


class Text(SynchronousTestCase):
    """Whatever the text is, it is decoded, or a ValueError says why not."""

    def test_deepAfterBlank(self) -> None:
        """What nests far too deep is refused wherever white space or another value stands."""
        for begin in ("", " ", "\n\t ", "1 ", " 1 "):
            for deep in ("[" * 100_000, '{"a":' * 50_000):
                for decode in DECODERS:
                    self.assertRaises(ValueError, decode, begin + deep)

    @given(st.text() | st.text('[]{}:," 1etrun\\'))
    def test_anything(self, text: str) -> None:
        """Nothing but ValueError comes out."""
        for decode in DECODERS:
            try:
                decode(text)
            except ValueError:
                pass

    def test_whiteSpace(self) -> None:
        """RFC 8259's white space may stand around a value, and no other."""
        for decode in DECODERS:
            self.assertEqual(decode(" \t\r\n[1, null] \t\r\n"), [1, None])
            for blank in ("\v", "\f", "\xa0", "\ufeff", "\u2028"):
                self.assertRaises(ValueError, decode, blank + "[]")
                self.assertRaises(ValueError, decode, "[]" + blank)

    def test_numbers(self) -> None:
        """What will be written again holds no number that is Infinity to readers with doubles."""
        largest = "17976931348623157" + "0" * 292
        for text in (largest, f"-{largest}", "12345678901234567890", "1.7e308", "-0"):
            self.assertEqual(decodeJsonToWrite(f'{{"a": {text}}}'), {"a": decodeJson(text)})
        for text in (
            "1" + "0" * 400,
            "-1" + "0" * 309,
            "9" * 5000,
            "1e400",
            "-1e400",
            largest + "0",
        ):
            self.assertRaises(ValueError, decodeJsonToWrite, f'{{"a": {text}}}')

    def test_nothingAndMore(self) -> None:
        """One value: not none, and not two."""
        for text in ("", " ", "1 2", "[] x", "{}{}", "nul"):
            for decode in DECODERS:
                self.assertRaises(ValueError, decode, text)


class Userdata(ContractCase):
    """security.md: "bad userdata or TURN data never breaks the connection"."""

    def test_deep(self) -> None:
        """A call whose userdata is a blank and 20,000 brackets is told, with the text as it is."""
        text = " " + "[" * 20_000
        world = self.world().up()
        world.transport.say(
            b"<iq type='set' id='n1'><query xmlns='jabber:iq:private'>"
            b"<data xmlns='urn:xmpp:comcast:info' type='notify' userdata='%s'/></query></iq>"
            % text.encode()
        )
        world.settle()
        ((info,),) = world.recorder.of("onNotification")
        self.assertEqual(info["userdata"], text)
        self.assertIn(b'id="n1"', b"".join(world.transport.sent))
