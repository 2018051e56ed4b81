"""
How calls are written: CloudEvents, as the reader of their own project reads them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cloudevents.core.bindings import amqp, http, kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.errors import IncorrectParameters
from iris_twisted.sinks import CallRecord, SinkContext, makeSink
from iris_twisted.sinks.formats import FORMATS, formatNamed
from iris_twisted.sinks.webhook import readSecret, signature

from ..network import NetworkCase
from ..peers import WebServer

UUID = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"


def call(account: str = "alice@x.test", **fields: Any) -> CallRecord:
    """A call."""
    notification = {"type": "notify", "roomid": "r\u00e9\n1", "traceid": UUID, **fields}
    return CallRecord(
        "7d0f0000-0000-4000-8000-00000000cafe", account, 1_700_000_000.5, notification
    )


def checkEvent(case: SynchronousTestCase | NetworkCase, event: Any, record: CallRecord) -> None:
    """That everything of the call is in it, under its names."""
    case.assertEqual(event.get_specversion(), "1.0")
    case.assertEqual(event.get_id(), record.key)
    case.assertEqual(event.get_source(), "xmpp:x.test")
    case.assertEqual(event.get_type(), "com.comcast.iris.call.notify")
    case.assertEqual(event.get_subject(), record.account)
    case.assertEqual(event.get_time(), datetime(2023, 11, 14, 22, 13, 20, 500_000, UTC))
    case.assertEqual(event.get_datacontenttype(), "application/json")
    case.assertEqual(event.get_data(), record.notification)
    case.assertEqual(
        event.get_extension("traceparent"),
        "00-f81d4fae7dec11d0a76500a0c91e6bf6-113d9aa96072e571-01",
    )


class Formats(SynchronousTestCase):
    """The formats by themselves."""

    def structured(self, record: CallRecord) -> Any:
        return JSONFormat().read(CloudEvent, FORMATS["cloudevents"].encode(record).body)

    def test_structured(self) -> None:
        """One JSON object on one line has it all."""
        record = call()
        encoded = FORMATS["cloudevents"].encode(record)
        self.assertEqual(encoded.contentType, "application/cloudevents+json; charset=utf-8")
        self.assertEqual(encoded.attributes, {})
        self.assertNotIn(b"\n", encoded.body)
        checkEvent(self, self.structured(record), record)

    def test_bindings(self) -> None:
        """The reader understands both modes as its bindings have them."""
        record = call()
        binary = FORMATS["cloudevents-binary"].encode(record)

        def prefixed(prefix: str) -> dict[str, str]:
            return {prefix + name: value for name, value in binary.attributes.items()}

        events = (
            amqp.from_amqp_event(
                amqp.AMQPMessage(
                    {"content-type": binary.contentType}, prefixed("cloudEvents_"), binary.body
                )
            ),
            kafka.from_kafka_event(
                kafka.KafkaMessage(
                    {
                        "content-type": binary.contentType.encode(),
                        **{name: value.encode() for name, value in prefixed("ce_").items()},
                    },
                    record.account,
                    binary.body,
                )
            ),
        )
        for event in events:
            checkEvent(self, event, record)

    def test_trace(self) -> None:
        """A UUID is the trace id; another text gives the same one each time; none gives none."""
        for trace, wanted in (
            (UUID.upper(), "f81d4fae7dec11d0a76500a0c91e6bf6"),
            ("tr-9", "6cf54e5616d2d497a8f0c77d99a561b0"),
        ):
            parent = self.structured(call(traceid=trace)).get_extension("traceparent")
            version, traceId, parentId, flags = parent.split("-")
            self.assertEqual((version, len(parentId), flags), ("00", 16, "01"))
            self.assertEqual(traceId, wanted)
        self.assertEqual(
            self.structured(call(traceid="tr-9")).get_extension("traceparent"),
            self.structured(call(traceid="tr-9", roomid="2")).get_extension("traceparent"),
        )
        digits = "0123456789abcdef" * 2
        # Which Python takes for UUIDs, and nobody else does.
        for trace in (f"0x{digits[:30]}", f"{{{digits}}}", f"urn:uuid:{digits}", f" {digits[:31]}"):
            wanted = hashlib.sha256(trace.encode()).hexdigest()[:32]
            parent = self.structured(call(traceid=trace)).get_extension("traceparent")
            self.assertEqual(parent.split("-")[1], wanted, trace)
        for trace in ("", None, 5, "00000000-0000-0000-0000-000000000000"):
            event = self.structured(call(traceid=trace))
            self.assertIsNone(event.get_extension("traceparent"), trace)

    def test_kinds(self) -> None:
        """The platform names the kind; whatever that is, the type is one word."""
        for kind, wanted in (
            ("cancel", "com.comcast.iris.call.cancel"),
            ("leave room\r\nX: y", "com.comcast.iris.call.leave-room--X--y"),
            ("", "com.comcast.iris.call"),
            (None, "com.comcast.iris.call"),
        ):
            self.assertEqual(self.structured(call(type=kind)).get_type(), wanted)

    @given(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.dictionaries(st.text(), st.text() | st.integers(-(2**53), 2**53) | st.none()),
    )
    def test_anything(self, account: str, fields: Mapping[str, Any]) -> None:
        """Whatever stands in account and notification is read as it was."""
        record = CallRecord("key", account, 0.0, dict(fields))
        body = FORMATS["cloudevents"].encode(record).body
        event = json.loads(body)
        self.assertEqual((event["subject"], event["data"]), (account, record.notification))
        self.assertTrue(event["source"].isascii())
        self.assertNotIn(b"\n", body)

    def test_names(self) -> None:
        """A format that is none is told with those that are, and the one that is meant."""
        with self.assertRaises(IncorrectParameters) as caught:
            formatNamed("cloudevent")
        self.assertIn("json, cloudevents, cloudevents-binary", caught.exception.message)
        self.assertIn("did you mean cloudevents?", caught.exception.message)

    def test_lines(self) -> None:
        """Sinks of lines write events, each sink its own format, and none that needs headers."""
        lines: list[str] = []
        context = SinkContext(
            reactor=reactor, write=lines.append, format=formatNamed("cloudevents")
        )
        record = call()
        self.successResultOf(makeSink("stdout", context).take(record))
        self.successResultOf(makeSink("stdout+json", context).take(record))
        self.assertEqual(json.loads(lines[0])["id"], json.loads(lines[1])["key"])
        for spec in ("stdout", "file:x", "exec:/bin/cat", "redis:redis://127.0.0.1/x"):
            name, _, rest = spec.partition(":")
            with self.assertRaises(IncorrectParameters) as caught:
                makeSink(f"{name}+cloudevents-binary:{rest}".removesuffix(":"), context)
            self.assertIn(f"use {name}+cloudevents", caught.exception.message)


class Sent(NetworkCase):
    """What arrives."""

    def sink(self, spec: str, **options: Any) -> Any:
        context = SinkContext(reactor=reactor, write=lambda line: None, **options)
        sink = makeSink(spec, context)
        self.addCleanup(sink.stop)
        return sink

    async def test_webhook(self) -> None:
        """Both modes of HTTP, with the signature over what was sent."""
        server = await WebServer.start(reactor)
        self.addCleanup(server.stop)
        secret = readSecret("secret-of-webhooks-CANARY")
        record = call()
        for mode in ("cloudevents", "cloudevents-binary"):
            await self.sink(f"webhook+{mode}:{server.url}", webhookSecret=secret).take(record)
            headers, body = server.received[-1]
            message = http.HTTPMessage(headers=headers, body=body)
            checkEvent(self, http.from_http_event(message), record)
            signed = signature(secret, record.key, int(headers["webhook-timestamp"]), body)
            self.assertEqual(headers["webhook-signature"], signed)
        self.assertEqual(json.loads(body), record.notification)

    async def test_oddHeaders(self) -> None:
        """Whatever stands in an account comes through a header as it was."""
        server = await WebServer.start(reactor)
        self.addCleanup(server.stop)
        sink = self.sink(f"webhook+cloudevents-binary:{server.url}")
        for account in ('a "b" %41\u00e9\U0001f4de@x.test', "\r\nInjected: 1@x.test"):
            await sink.take(call(account))
            headers, body = server.received[-1]
            event = http.from_http_event(http.HTTPMessage(headers=headers, body=body))
            self.assertEqual(event.get_subject(), account)
            self.assertNotIn("injected", headers)

    async def test_file(self) -> None:
        """A file of events."""
        path = Path(self.mktemp()).absolute()
        record = call()
        await self.sink(f"file+cloudevents:{path}").take(record)
        checkEvent(self, JSONFormat().read(CloudEvent, path.read_bytes()), record)
