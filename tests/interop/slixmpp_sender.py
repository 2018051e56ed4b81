"""
An XMPP client that is not ours, over TCP: sends numbered private IQs by slixmpp,
writes down their answers, and the rejects that it gets.

    python slixmpp_sender.py PORT JID PASSWORD

Each line on stdin is C{ring TO FIRST COUNT PAUSE ROOM RTCSERVER}, with C{-} for a room
of its own each, C{ping TO}, or C{say TO WORDS}; the end of stdin ends it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any
from xml.etree import ElementTree

import slixmpp
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

PORT, JID, PASSWORD = sys.argv[1:4]


class Sender(slixmpp.ClientXMPP):
    """Logs in, rings as it is told, leaves."""

    def __init__(self) -> None:
        super().__init__(JID, PASSWORD)
        self.register_plugin("xep_0199")
        self.add_event_handler("session_start", self.start)
        self.add_event_handler("message", lambda m: print("told", m["body"], flush=True))
        self.add_event_handler("failed_all_auth", lambda _: sys.exit("login refused"))
        private = MatchXPath("{jabber:client}iq/{jabber:iq:private}query")
        self.register_handler(Callback("private", private, self.rejected))

    async def start(self, _: Any) -> None:
        print("up", flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command, to, *rest = line.split()
            if command == "ping":
                await self["xep_0199"].ping(to, timeout=60)
                print("pong", flush=True)
                continue
            if command == "say":
                self.send_message(mto=to, mbody=" ".join(rest), mtype="chat")
                continue
            first, count, pause, room, server = rest
            numbers = range(int(first), int(first) + int(count))
            for number in numbers:
                task = loop.create_task(self.ring(to, number, room, server))
                self.tasks.add(task)
                await asyncio.sleep(float(pause))
            await asyncio.gather(*self.tasks)
            self.tasks.clear()
            print("all answered", flush=True)
        self.disconnect()

    tasks: set[asyncio.Task[None]] = set()

    async def ring(self, to: str, number: int, room: str, server: str) -> None:
        """One call, and its answer."""
        iq = self.make_iq_set(ito=to)
        query = ElementTree.Element("{jabber:iq:private}query")
        data = ElementTree.SubElement(query, "{urn:xmpp:comcast:info}data")
        data.set("type", "notify")
        data.set("roomid", f"room-{number}" if room == "-" else room)
        data.set("rtcserver", server)
        data.set("traceid", f"trace-{number}")
        data.set("userdata", '{"data": {"cname": "<é&\\">"}}')
        iq.append(query)
        try:
            answer = await iq.send(timeout=60)
            print(number, answer["type"], flush=True)
        except slixmpp.exceptions.IqError as error:
            print(number, error.condition, flush=True)

    def rejected(self, iq: Any) -> None:
        """Whom we rang does not want us."""
        data = iq.xml.find(".//{urn:xmpp:comcast:info}data")
        print("heard", data.get("action"), data.get("roomid"), data.get("traceid"), flush=True)
        iq.reply().send()


sender = Sender()
for plugin in ("feature_mechanisms",):
    sender[plugin].unencrypted_plain = True
    sender[plugin].unencrypted_scram = True
sender.enable_starttls = sender.enable_direct_tls = False
sender.enable_plaintext = True
sender.connect("127.0.0.1", int(PORT))
asyncio.get_event_loop().run_until_complete(sender.disconnected)
