"""
L{iris_twisted.xmpp.session}, C{sasl}, C{iqs} and C{jids}: security.md, "SASL
downgrade" and "IQ spoofing".
"""

from __future__ import annotations

import base64
import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from scramp import ScramMechanism
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.errors import (
    BackendError,
    Conflict,
    NotAuthorized,
    NotSupported,
    ProtocolViolation,
    SeeOther,
    ServerLeaving,
)
from iris_twisted.net.addresses import RoutingId
from iris_twisted.net.limits import Limits
from iris_twisted.xmpp import jids
from iris_twisted.xmpp.elements import Element
from iris_twisted.xmpp.events import (
    Ended,
    Established,
    IqFailed,
    IqRequest,
    PingAnswered,
    SessionSettings,
)
from iris_twisted.xmpp.jids import parseJid, sameJid
from iris_twisted.xmpp.sasl import chooseMechanism
from iris_twisted.xmpp.session import XmppSession

RID = RoutingId.parse("Alice@example.test")
SASL = 'xmlns="urn:ietf:params:xml:ns:xmpp-sasl"'


def features(inner: str = "") -> bytes:
    return (
        f'<stream:features xmlns:stream="http://etherx.jabber.org/streams">{inner}</stream:features>'
    ).encode()


def mechanisms(*names: str) -> bytes:
    offers = "".join(f"<mechanism>{name}</mechanism>" for name in names)
    return features(f"<mechanisms {SASL}>{offers}</mechanisms>")


BIND = features('<bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/>')
BOUND = (
    b'<iq xmlns="jabber:client" type="result" id="bind"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind">'
    b"<jid>alice@example.test/r</jid></bind></iq>"
)


class SessionCase(SynchronousTestCase):
    """A session that was started."""

    def session(self, dialect: str = "stream", **kw: Any) -> XmppSession:
        ids = iter(range(1000))
        session = XmppSession(
            SessionSettings(
                dialect, RID, "ws-token", secure=True, newId=lambda: f"id{next(ids)}", **kw
            )
        )
        session.start()
        self.assertEqual(len(session.takeOutgoing()), 1)
        return session

    def up(self, dialect: str = "stream", **kw: Any) -> XmppSession:
        session = self.session(dialect, **kw)
        for message in (mechanisms("NOAUTH"), f"<success {SASL}/>".encode(), BIND, BOUND):
            events = session.receive(message)
        self.assertEqual(events, [Established("alice@example.test/r")])
        session.takeOutgoing()
        return session

    def ping(self, session: XmppSession, now: float = 0.0) -> str:
        """A ping is sent; its id."""
        session.sendPing(now)
        *_, sent = session.takeOutgoing()
        found = re.search(b'id="([^"]+)"', sent)
        assert found is not None
        return found[1].decode()

    def endsWith(self, session: XmppSession, message: bytes, kind: type[Exception]) -> str:
        events = session.receive(message)
        self.assertIsInstance(events[-1], Ended)
        error = events[-1].error
        self.assertIs(type(error), kind)
        self.assertEqual(session.receive(b"<iq type='get' id='x'/>"), [])
        return str(error)


class Negotiating(SessionCase):
    """Opening, SASL, restart, bind, session."""

    def test_streamDialect(self) -> None:
        """The official client's bytes, step by step."""
        session = XmppSession(SessionSettings("stream", RID, "ws-token", secure=True))
        session.start()
        opening = (
            b'<stream:stream xmlns="jabber:client" '
            b'xmlns:stream="http://etherx.jabber.org/streams" to="example.test" version="1.0">'
        )
        self.assertEqual(session.takeOutgoing(), [opening])
        session.receive(mechanisms("NOAUTH"))
        name = base64.b64encode(b"alice@example.test").decode()
        self.assertEqual(
            session.takeOutgoing(), [f'<auth {SASL} mechanism="NOAUTH">{name}</auth>'.encode()]
        )
        session.receive(f"<success {SASL}/>".encode())
        self.assertEqual(session.takeOutgoing(), [opening])
        session.receive(
            features(
                '<bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/>'
                '<session xmlns="urn:ietf:params:xml:ns:xmpp-session"/>'
            )
        )
        self.assertEqual(
            session.takeOutgoing(),
            [
                b'<iq xmlns="jabber:client" id="bind" type="set"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></iq>'
            ],
        )
        self.assertEqual(session.receive(BOUND), [])
        self.assertEqual(
            session.takeOutgoing(),
            [
                b'<iq xmlns="jabber:client" id="sess" type="set" to="example.test">'
                b'<session xmlns="urn:ietf:params:xml:ns:xmpp-session"/></iq>'
            ],
        )
        self.assertFalse(session.isUp)
        events = session.receive(b'<iq type="result" id="sess" from="example.test"/>')
        self.assertEqual(events, [Established("alice@example.test/r")])
        self.assertTrue(session.isUp)

    def test_framedDialect(self) -> None:
        """RFC 7395: open, one element a frame with its namespace, close."""
        session = XmppSession(SessionSettings("framed", RID, "ws-token", secure=True))
        session.start()
        opening = (
            b'<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="example.test" version="1.0"/>'
        )
        self.assertEqual(session.takeOutgoing(), [opening])
        session.receive(b'<open xmlns="urn:ietf:params:xml:ns:xmpp-framing"/>')
        session.receive(mechanisms("NOAUTH"))
        session.receive(f"<success {SASL}/>".encode())
        session.receive(BIND)
        sent = session.takeOutgoing()
        self.assertEqual(sent[1], opening)
        self.assertTrue(sent[2].startswith(b'<iq xmlns="jabber:client" id="bind"'))
        self.assertEqual(len(session.receive(BOUND)), 1)
        session.close()
        self.assertEqual(
            session.takeOutgoing(), [b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing"/>']
        )

    def test_emptyFeatures(self) -> None:
        """With nothing to negotiate the session is up at once, as the bare JID."""
        session = self.session()
        session.receive(mechanisms("NOAUTH"))
        session.receive(f"<success {SASL}/>".encode())
        self.assertEqual(session.receive(features()), [Established("Alice@example.test")])

    def test_bindWithoutJid(self) -> None:
        """The jid of the bind result is optional."""
        session = self.session()
        for message in (mechanisms("NOAUTH"), f"<success {SASL}/>".encode(), BIND):
            session.receive(message)
        self.assertEqual(
            session.receive(b'<iq type="result" id="bind"/>'), [Established("Alice@example.test")]
        )

    def test_sessionOptional(self) -> None:
        """The legacy session is skipped when it is optional."""
        session = self.session()
        for message in (mechanisms("NOAUTH"), f"<success {SASL}/>".encode()):
            session.receive(message)
        session.receive(
            features(
                '<bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/>'
                '<session xmlns="urn:ietf:params:xml:ns:xmpp-session"><optional/></session>'
            )
        )
        self.assertEqual(len(session.receive(BOUND)), 1)

    def test_headerOfTheServer(self) -> None:
        """Header and features in one message."""
        session = self.session()
        header = (
            b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
            b"xmlns:stream='http://etherx.jabber.org/streams' from='example.test'>"
        )
        session.receive(header + mechanisms("NOAUTH"))
        self.assertIn(b"<auth", session.takeOutgoing()[0])

    def test_errors(self) -> None:
        """Refusals at each step, with their condition."""
        session = self.session()
        session.receive(mechanisms("NOAUTH"))
        self.assertIn(
            "temporary-auth-failure",
            self.endsWith(
                session,
                f"<failure {SASL}><temporary-auth-failure/></failure>".encode(),
                BackendError,
            ),
        )
        session = self.session()
        session.receive(mechanisms("NOAUTH"))
        self.endsWith(
            session,
            f"<failure {SASL}><not-authorized/><text>no</text></failure>".encode(),
            NotAuthorized,
        )
        for step in ("bind", "sess"):
            session = self.session()
            session.receive(mechanisms("NOAUTH"))
            session.receive(f"<success {SASL}/>".encode())
            session.receive(
                features(
                    '<bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/>'
                    '<session xmlns="urn:ietf:params:xml:ns:xmpp-session"/>'
                )
            )
            if step == "sess":
                session.receive(BOUND)
            error = (
                f'<iq type="error" id="{step}"><error type="cancel">'
                f'<not-allowed xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></iq>'
            )
            self.assertIn("not-allowed", self.endsWith(session, error.encode(), BackendError))

    def test_bindAnsweredByAStranger(self) -> None:
        """A bind result from somebody else is ignored."""
        session = self.session()
        for message in (mechanisms("NOAUTH"), f"<success {SASL}/>".encode(), BIND):
            session.receive(message)
        self.assertEqual(session.receive(BOUND.replace(b"<iq ", b"<iq from='evil.test' ")), [])
        self.assertEqual(len(session.receive(BOUND)), 1)

    def test_badJid(self) -> None:
        """A bound resource that is no JID ends it."""
        session = self.session()
        for message in (mechanisms("NOAUTH"), f"<success {SASL}/>".encode(), BIND):
            session.receive(message)
        self.endsWith(session, BOUND.replace(b"alice@", b"a@b@"), ProtocolViolation)

    def test_tooManyEarlyStanzas(self) -> None:
        """What comes before the session is up is bounded."""
        session = self.session(limits=Limits(unanswered=3))
        stanza = b"<iq type='set' id='x'><a xmlns='b'/></iq>"
        for _ in range(3):
            self.assertEqual(session.receive(stanza), [])
        self.endsWith(session, stanza, ProtocolViolation)

    def test_outOfTurn(self) -> None:
        """Features and SASL out of turn end it; success counts only while pending."""
        for prepare, message in (
            ([], f"<success {SASL}/>".encode()),
            ([], f"<challenge {SASL}/>".encode()),
            ([mechanisms("NOAUTH")], features()),
            ([mechanisms("NOAUTH")], f"<challenge {SASL}/>".encode()),
            ([mechanisms("NOAUTH")], f"<success {SASL}>%%%</success>".encode()),
            ([mechanisms("NOAUTH")], f"<abort {SASL}/>".encode()),
        ):
            session = self.session()
            for before in prepare:
                session.receive(before)
            self.endsWith(session, message, ProtocolViolation)
        session = self.up()
        self.endsWith(session, f"<success {SASL}/>".encode(), ProtocolViolation)
        session = self.up()
        self.endsWith(session, features(), ProtocolViolation)


class Ending(SessionCase):
    """How the server can end it."""

    def test_streamErrors(self) -> None:
        """Each condition to its error."""
        for condition, kind in (
            ("system-shutdown", ServerLeaving),
            ("reset", ServerLeaving),
            ("conflict", Conflict),
            ("policy-violation", BackendError),
        ):
            message = (
                f'<stream:error xmlns:stream="http://etherx.jabber.org/streams">'
                f'<{condition} xmlns="urn:ietf:params:xml:ns:xmpp-streams"/>'
                f'<text xmlns="urn:ietf:params:xml:ns:xmpp-streams">x</text></stream:error>'
            ).encode()
            self.assertIn(condition, self.endsWith(self.up(), message, kind))

    def test_close(self) -> None:
        """C{<close/>} and C{</stream:stream>}; see-other-uri carries the address."""
        close = b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing"/>'
        self.endsWith(self.up("framed"), close, ServerLeaving)
        self.endsWith(self.up(), close, ServerLeaving)
        self.endsWith(self.up(), b"</stream:stream>", ServerLeaving)
        session = self.up("framed")
        (event,) = session.receive(close.replace(b"/>", b' see-other-uri="wss://x/y"/>'))
        assert isinstance(event, Ended) and isinstance(event.error, SeeOther)
        self.assertEqual(event.error.uri, "wss://x/y")

    def test_violation(self) -> None:
        """Malformed XML ends it, after what came before was told."""
        events = self.up().receive(b"<iq type='set' id='1'><a xmlns='b'/></iq><x></y>")
        self.assertEqual([type(e) for e in events], [IqRequest, Ended])


class NewerServers(SessionCase):
    """What means nothing here changes nothing."""

    def test_unknownElements(self) -> None:
        """Neither a close nor features of somebody else's, nor what is new in streams."""
        session = self.up()
        for element in (
            "<close xmlns='urn:newer'/>",
            "<features xmlns='urn:newer'/>",
            "<x xmlns='http://etherx.jabber.org/streams'/>",
            "<x xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
        ):
            self.assertEqual(session.receive(element.encode()), [], element)
        self.assertTrue(session.isUp)


class Iqs(SessionCase):
    """Requests and answers."""

    def test_matrixOfSenders(self) -> None:
        """Who may answer a request to whom."""
        own = ["alice@example.test", "Alice@Example.Test", "alice@example.test/r", "example.test"]
        others = ["mallory@example.test", "alice@example.test/other", "evil.test", "a@b@c", ""]
        for to, good, bad in (
            (None, [None, *own], others),
            ("room@cc.test/x", [None, "room@cc.test/x", "ROOM@cc.test/x"], [*own, *others]),
            ("example.test", [None, "example.test"], [*own[:3], *others]),
        ):
            for senders, answered in ((good, True), (bad, False)):
                for sender in senders:
                    session = self.up()
                    id = session.sendIq("set", [Element("x", "y")], 0.0, to=to)
                    origin = "" if sender is None else f' from="{sender}"'
                    events = session.receive(f'<iq type="result" id="{id}"{origin}/>'.encode())
                    self.assertEqual(bool(events), answered, f"{to} {sender}")

    def test_once(self) -> None:
        """A request is answered once; by an error too."""
        session = self.up()
        id = session.sendIq("set", [], 0.0, to="example.test")
        error = (
            f'<iq type="error" id="{id}"><error><gone xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>'
            f"</error></iq>"
        ).encode()
        (event,) = session.receive(error)
        assert isinstance(event, IqFailed)
        self.assertIn("gone", event.error.message)
        self.assertEqual(session.receive(error), [])
        id = session.sendIq("set", [], 0.0)
        (event,) = session.receive(f'<iq type="error" id="{id}"/>'.encode())
        assert isinstance(event, IqFailed)

    def test_pings(self) -> None:
        """They are matched by id and sender too, each once; an error is an answer."""
        session = self.up()
        for type in ("result", "error"):
            id = self.ping(session, 7.0)
            for sender in ("mallory@example.test", "other.test", "alice@example.test/other"):
                wrong = f'<iq type="{type}" id="{id}" from="{sender}"/>'.encode()
                self.assertEqual(session.receive(wrong), [])
            right = f'<iq type="{type}" id="{id}" from="example.test"/>'.encode()
            self.assertEqual(list(session.receive(right)), [PingAnswered(7.0)])
            self.assertEqual(session.receive(right), [])
        self.assertEqual(session.receive(b'<iq type="result"/>'), [])

    def test_errorWithoutCondition(self) -> None:
        """An error that names no condition is one all the same."""
        session = self.up()
        id = session.sendIq("set", [], 0.0)
        for error in ("<error/>", ""):
            events = session.receive(f"<iq type='error' id='{id}'>{error}</iq>".encode())
            assert isinstance(events[0], IqFailed)
            self.assertIn("undefined-condition", events[0].error.message)
            id = session.sendIq("set", [], 0.0)

    def test_endless(self) -> None:
        """Neither an id nor a sender may be so long that it could not be repeated."""
        for attributes in (
            f"id='{'x' * 1100}'",
            f"id='1' from='x@y.test/{'x' * 3100}'",
        ):
            iq = f"<iq type='get' {attributes}><query xmlns='x'/></iq>"
            self.endsWith(self.up(), iq.encode(), ProtocolViolation)

    def test_pingsThatNobodyAnswers(self) -> None:
        """They do not pile up."""
        session = self.up()
        first, *_, last = [self.ping(session, float(n)) for n in range(100)]
        self.assertLess(len(session._pings._sent), 10)
        self.assertEqual(session.receive(f'<iq type="result" id="{first}"/>'.encode()), [])
        (event,) = session.receive(f'<iq type="result" id="{last}"/>'.encode())
        self.assertEqual(event, PingAnswered(99.0))

    def test_expiry(self) -> None:
        """What is overdue fails, oldest first, and no sooner."""
        session = self.up(iqTimeout=10.0)
        ids = [session.sendIq("set", [], float(n)) for n in range(3)]
        self.assertEqual(session.expire(9.9), [])
        self.assertEqual([e.id for e in session.expire(11.0)], ids[:2])
        self.assertEqual([e.id for e in session.expire(12.0)], ids[2:])

    def test_unpredictableIds(self) -> None:
        """Ids are long and never the same."""
        session = XmppSession(SessionSettings("stream", RID, "t", secure=True))
        ids = {self.ping(session, 0.0) for _ in range(100)}
        self.assertEqual(len(ids), 100)
        self.assertTrue(all(len(id) >= 16 for id in ids))

    def test_replies(self) -> None:
        """Only get and set with an id are answered; to the sender."""
        session = self.up()
        for attributes, answered in (
            ({"type": "set", "id": "1", "from": "a@b"}, True),
            ({"type": "get", "id": "1"}, True),
            ({"type": "set"}, False),
            ({"id": "1"}, False),
            ({"type": "result", "id": "1"}, False),
        ):
            session.reply(Element("iq", "jabber:client", attributes))
            self.assertEqual(bool(session.takeOutgoing()), answered, attributes)

    @given(st.lists(st.binary(max_size=30) | st.sampled_from([BIND, BOUND, mechanisms("NOAUTH")])))
    def test_anything(self, messages: list[bytes]) -> None:
        """Whatever the server says, nothing raises."""
        for dialect in ("stream", "framed"):
            session = self.session(dialect)
            for message in messages:
                session.receive(message)
                session.takeOutgoing()


class Choosing(SynchronousTestCase):
    """security.md, "SASL downgrade"."""

    def test_preference(self) -> None:
        """NOAUTH, SCRAM, PLAIN (secure), ANONYMOUS (asked for); never another."""
        everything = ["ANONYMOUS", "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "NOAUTH", "DIGEST-MD5"]
        for offered, secure, anonymous, chosen in (
            (everything, True, True, "NOAUTH"),
            (everything[:4], True, True, "SCRAM-SHA-256"),
            (everything[:3], True, True, "SCRAM-SHA-1"),
            (everything[:2], True, True, "PLAIN"),
            (everything[:2], False, True, "ANONYMOUS"),
            (everything[:2], False, False, None),
            (["DIGEST-MD5", "EXTERNAL", "noauth"], True, True, None),
            ([], True, True, None),
        ):
            try:
                name = chooseMechanism(offered, RID, "t", secure=secure, anonymous=anonymous).name
            except NotSupported:
                name = None
            self.assertEqual(name, chosen)

    def test_plain(self) -> None:
        """The local part and the websocket token (RFC 4616)."""
        mechanism = chooseMechanism(["PLAIN"], RID, "secret", secure=True, anonymous=False)
        self.assertEqual(mechanism.initialResponse(), b"\0Alice\0secret")
        self.assertNotIn("secret", repr(mechanism))

    def scram(self, name: str, password: str = "secret") -> tuple[Any, Any]:
        client = chooseMechanism([name], RID, "secret", secure=False, anonymous=False)
        mechanism = ScramMechanism(name)
        server = mechanism.make_server(lambda user: mechanism.make_auth_info(password))
        server.set_client_first(client.initialResponse().decode())
        final = client.respond(server.get_server_first().encode())
        server.set_client_final(final.decode())
        return client, server

    def test_scram(self) -> None:
        """The server's signature is verified, in success or in a last challenge."""
        for name in ("SCRAM-SHA-1", "SCRAM-SHA-256"):
            client, server = self.scram(name)
            client.succeeded(server.get_server_final().encode())
            client, server = self.scram(name)
            self.assertEqual(client.respond(server.get_server_final().encode()), b"")
            client.succeeded(b"")

    def test_scramForged(self) -> None:
        """A wrong or missing signature, or nonsense, is -105."""
        for final in (b"", b"v=AAAA", b"\xff", b"v=" + base64.b64encode(b"x" * 32)):
            client, _ = self.scram("SCRAM-SHA-256")
            self.assertRaises(BackendError, client.succeeded, final)
        for challenge in (b"", b"r=x,s=eA==,i=1", b"\xff", b"r=x"):
            client = chooseMechanism(["SCRAM-SHA-1"], RID, "secret", secure=True, anonymous=False)
            client.initialResponse()
            self.assertRaises(BackendError, client.respond, challenge)


class ForgedServer(SessionCase):
    """SCRAM proves both sides."""

    def test_sessionWithoutProof(self) -> None:
        """A success without the server's signature brings up no session."""
        session = self.session()
        session.receive(mechanisms("SCRAM-SHA-256"))
        auth = session.takeOutgoing()[-1]
        mechanism = ScramMechanism("SCRAM-SHA-256")
        server = mechanism.make_server(lambda user: mechanism.make_auth_info("ws-token"))
        server.set_client_first(base64.b64decode(auth.split(b">")[1].split(b"<")[0]).decode())
        first = base64.b64encode(server.get_server_first().encode()).decode()
        self.assertEqual(session.receive(f"<challenge {SASL}>{first}</challenge>".encode()), [])
        error = self.endsWith(session, f"<success {SASL}/>".encode(), BackendError)
        self.assertIn("signature is wrong or missing", error)


class Jids(SynchronousTestCase):
    """Comparison by the RFCs."""

    def test_same(self) -> None:
        """Local part and domain without regard to case, the resource with."""
        self.assertTrue(sameJid("A@B.test/r", "a@b.TEST/r"))
        self.assertFalse(sameJid("a@b/r", "a@b/R"))
        self.assertFalse(sameJid("a@@b", "a@b"))

    @given(st.text())
    def test_anything(self, text: str) -> None:
        """Nothing raises."""
        parseJid(text)

    @given(st.from_regex(jids._PLAIN, fullmatch=True))
    @example("a@b-.test/x")
    @example("a@-b")
    @example("1.2")
    def test_plain(self, text: str) -> None:
        """What is taken to need no stringprep comes out of it as it was."""
        self.assertEqual(parseJid(text), jids._prepared(text))
