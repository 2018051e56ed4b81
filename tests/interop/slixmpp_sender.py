"""
Sends numbered private IQs by slixmpp, over TCP, and writes down their answers.

    python slixmpp_sender.py PORT JID PASSWORD TO COUNT PAUSE
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any
from xml.etree import ElementTree

import slixmpp

PORT, JID, PASSWORD, TO, COUNT, PAUSE = sys.argv[1:7]


class Sender(slixmpp.ClientXMPP):
    """Logs in, rings, leaves."""

    def __init__(self) -> None:
        super().__init__(JID, PASSWORD)
        self.add_event_handler("session_start", self.start)
        self.add_event_handler("failed_all_auth", lambda _: sys.exit("login refused"))

    async def start(self, _: Any) -> None:
        print("up", flush=True)
        # One line on stdin starts it.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        await asyncio.gather(*[self.ring(n) for n in range(int(COUNT))])
        print("all answered", flush=True)
        self.disconnect()

    async def ring(self, number: int) -> None:
        """One call, and its answer."""
        await asyncio.sleep(number * float(PAUSE))
        iq = self.make_iq_set(ito=TO)
        query = ElementTree.Element("{jabber:iq:private}query")
        data = ElementTree.SubElement(query, "{urn:xmpp:comcast:info}data")
        data.set("type", "notify")
        data.set("roomid", f"room-{number}")
        data.set("userdata", '{"data": {"cname": "<é&\\">"}}')
        iq.append(query)
        try:
            answer = await iq.send(timeout=60)
            print(number, answer["type"], flush=True)
        except slixmpp.exceptions.IqError as error:
            print(number, error.condition, flush=True)


sender = Sender()
for plugin in ("feature_mechanisms",):
    sender[plugin].unencrypted_plain = True
    sender[plugin].unencrypted_scram = True
sender.enable_starttls = sender.enable_direct_tls = False
sender.enable_plaintext = True
sender.connect("127.0.0.1", int(PORT))
asyncio.get_event_loop().run_until_complete(sender.disconnected)
