"""
slixmpp over TCP, answering each IQ; the URL's port is that of the firehose's TCP listener.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import slixmpp
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from .measure import Meter


class Client(slixmpp.ClientXMPP):
    """Counts."""

    def __init__(self, count: int) -> None:
        super().__init__("sandbox.test", "", sasl_mech="ANONYMOUS")
        self.meter = Meter(count, self.abort)
        self.add_event_handler("session_start", lambda _: print("up", flush=True))
        private = MatchXPath("{jabber:client}iq/{jabber:iq:private}query")
        self.register_handler(Callback("private", private, self.rang))
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True

    def rang(self, iq: Any) -> None:
        """A notification."""
        data = iq.xml.find(".//{urn:xmpp:comcast:info}data")
        json.loads(data.get("userdata"))
        iq.reply().send()
        self.meter.tick()


client = Client(int(sys.argv[2]))
client.connect("127.0.0.1", int(sys.argv[1].rpartition(":")[2]))
asyncio.get_event_loop().run_until_complete(client.disconnected)
