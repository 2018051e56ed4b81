"""
From the opening of a stream to a session: SASL, restart, then a resumption or
bind and session (RFC 6120 sections 6 and 7, protocol.md section 4).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from enum import Enum, auto

from ..errors import BackendError, NotAuthorized, ProtocolViolation
from . import stanzas
from .elements import BIND, SASL, SESSION, Element
from .events import SessionSettings
from .iqs import PendingIqs
from .jids import parseJid
from .sasl import Mechanism, chooseMechanism
from .stream_management import MANAGEMENT

__all__ = ["Login"]


class _Phase(Enum):
    OPENING = auto()
    AUTHENTICATING = auto()
    REOPENING = auto()
    RESUMING = auto()
    BINDING = auto()
    STARTING = auto()
    DONE = auto()


class Login:
    """
    @param write: sends an element.
    @param restart: begins a new stream.
    @param done: called with the JID bound, when there is nothing left to negotiate.
    @ivar sawFeatures: whether the server showed any.
    @ivar managementOffered: whether XEP-0198 can be used.
    """

    def __init__(
        self,
        settings: SessionSettings,
        write: Callable[[Element], None],
        restart: Callable[[], None],
        done: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._write = write
        self._restart = restart
        self._done = done
        self._phase = _Phase.OPENING
        self._mechanism: Mechanism | None = None
        self._bindWanted = self._sessionWanted = False
        self._jid = settings.routingId.text
        self.sawFeatures = False
        self.managementOffered = False

    @property
    def isResuming(self) -> bool:
        """Whether the server was asked to resume a session."""
        return self._phase is _Phase.RESUMING

    @property
    def awaitsIq(self) -> bool:
        """Whether the answers to IQs are the login's."""
        return self._phase in (_Phase.BINDING, _Phase.STARTING)

    def resumed(self) -> None:
        """The server resumed the session: there is nothing to negotiate."""
        self._phase = _Phase.DONE

    def features(self, features: Element) -> None:
        """
        Stream features came.

        @raise NotSupported: when they offer nothing to log in by.
        @raise ProtocolViolation: out of turn.
        """
        self.sawFeatures = True
        if self._phase is _Phase.OPENING:
            offered = [
                m.text.strip()
                for mechanisms in features.named("mechanisms", SASL)
                for m in mechanisms.named("mechanism", SASL)
            ]
            settings = self._settings
            self._mechanism = mechanism = chooseMechanism(
                offered,
                settings.routingId,
                settings.token,
                secure=settings.secure,
                anonymous=settings.anonymous,
            )
            self._phase = _Phase.AUTHENTICATING
            self._write(stanzas.saslElement("auth", mechanism.initialResponse(), mechanism.name))
        elif self._phase is _Phase.REOPENING:
            session = features.child("session", SESSION)
            self._sessionWanted = session is not None and session.child("optional", SESSION) is None
            self._bindWanted = features.child("bind", BIND) is not None
            self.managementOffered = (
                self._settings.streamManagement and features.child("sm", MANAGEMENT) is not None
            )
            resumption = self._settings.resumption
            if resumption is not None and self.managementOffered:
                self._phase = _Phase.RESUMING
                h, previd = resumption.management.resuming(), resumption.management.id or ""
                self._write(Element("resume", MANAGEMENT, {"previd": previd, "h": h}))
            else:
                self.bind()
        else:
            raise ProtocolViolation("the server sent stream features out of turn")

    def sasl(self, name: str, element: Element) -> None:
        """
        An element of SASL came.

        @raise BackendError: when the server refuses.
        @raise ProtocolViolation: out of turn.
        """
        mechanism = self._mechanism
        if self._phase is not _Phase.AUTHENTICATING or mechanism is None:
            raise ProtocolViolation(f"the server sent SASL {name[:40]!r} out of turn")
        if name == "failure":
            condition = stanzas.condition(element, SASL)
            message = f"the server refused the login by SASL {mechanism.name}: {condition}"
            if condition in ("not-authorized", "credentials-expired"):
                raise NotAuthorized(message)
            raise BackendError(message)
        try:
            text = element.text.strip()
            data = b"" if text == "=" else base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise ProtocolViolation(
                f"the server sent SASL {name[:40]!r} that is not base64"
            ) from None
        if name == "challenge":
            self._write(stanzas.saslElement("response", mechanism.respond(data)))
        elif name == "success":
            mechanism.succeeded(data)
            self._phase = _Phase.REOPENING
            self._restart()
        else:
            raise ProtocolViolation(f"the server sent an unknown SASL element {name[:40]!r}")

    def answered(self, iq: Element, account: tuple[str, ...]) -> None:
        """
        The answer to an IQ came.

        @param account: who may answer it.
        @raise BackendError: when the server refuses.
        """
        step = "bind" if self._phase is _Phase.BINDING else "sess"
        pending = PendingIqs(0)
        pending.sent(step, None, 0)
        if not pending.answered(iq, account):
            return
        if iq.get("type") == "error":
            what = "to bind a resource" if step == "bind" else "to start the session"
            raise BackendError(f"the server refused {what}: {stanzas.iqCondition(iq)}")
        if step == "sess":
            self._finish()
            return
        bind = iq.child("bind", BIND)
        jid = bind.child("jid", BIND) if bind is not None else None
        self._bound(jid.text.strip() if jid is not None else None)

    def bind(self) -> None:
        """Ask for a resource; also when a resumption failed."""
        if self._bindWanted:
            self._phase = _Phase.BINDING
            self._write(stanzas.iq("set", "bind", [stanzas.bind()]))
        else:
            self._bound(None)

    def _bound(self, jid: str | None) -> None:
        if jid is not None and parseJid(jid) is None:
            raise ProtocolViolation("the server bound a resource that is no JID")
        self._jid = jid or self._settings.routingId.text
        if self._sessionWanted:
            self._phase = _Phase.STARTING
            domain = self._settings.routingId.domain
            self._write(stanzas.iq("set", "sess", [stanzas.sessionPayload()], domain))
        else:
            self._finish()

    def _finish(self) -> None:
        self._phase = _Phase.DONE
        self._done(self._jid)
