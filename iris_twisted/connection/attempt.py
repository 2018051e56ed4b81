"""
One attempt to connect: discovery, transport, session; one chain, one deadline,
and nothing left over when it fails or is cancelled (contract promises 1 and 17).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.task import deferLater

from ..discovery.interfaces import IEventManager
from ..discovery.server_info import ServerInfo
from ..errors import (
    ApiParameters,
    BackendError,
    Conflict,
    ConnectionFailed,
    IrisError,
    NoAnswer,
    NotAuthorized,
    PeerClosed,
    ProtocolViolation,
    SeeOther,
)
from ..net.addresses import RoutingId
from ..net.deadline import deadlined
from ..net.loopback import isLoopback
from ..net.steady_time import steadyTime
from ..transport.destination import Destination
from ..transport.registry import TransportRegistry
from ..xmpp.events import Resumption, SessionSettings
from ..xmpp.interfaces import IXmppSession
from ..xmpp.session import XmppSession
from .link import Link
from .settings import Settings
from .websocket_address import locate, relocate

__all__ = ["Attempt", "Reached", "Target"]

# Seconds for which no server's patience with an acknowledgement is too short.
_SOON = 10.0


@attrs.frozen
class Target:
    """
    What an attempt is made for.

    @ivar secure: whether the event manager is reached by https.
    @ivar dialects: which dialect each server spoke last time, by its name.
    @ivar resumption: the session to go on with, if the server still has it.
    @ivar hop: an address to go to first, without discovery, with what was
        discovered last.
    """

    token: str = attrs.field(repr=False)
    routingId: RoutingId
    secure: bool
    traceId: str
    discovery: IEventManager
    transports: TransportRegistry
    dialects: dict[str, str]
    resumption: Resumption | None = None
    hop: tuple[str, ServerInfo, str] | None = None


@attrs.frozen
class Reached:
    """Where the attempt ended up."""

    link: Link
    info: ServerInfo
    host: str


class _DialectRefused(Exception):
    """The server ended before it showed its features: perhaps it speaks the other dialect."""

    def __init__(self, reason: IrisError) -> None:
        super().__init__(reason.message)
        self.reason = reason


class Attempt:
    """
    @param newLink: makes the link for a session, owned by whoever asked.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        target: Target,
        newLink: Callable[[IXmppSession], Link],
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._target = target
        self._newLink = newLink
        self._step = ""

    def run(self) -> Deferred[Reached]:
        """
        @return: fires with the link that is up; fails with an L{IrisError}, once
            everything that was opened is closed; can be cancelled at any time.
        """
        gate = self._settings.gate
        return Deferred.fromCoroutine(self._timed() if gate is None else self._gated(gate))

    async def _gated(self, gate: DeferredSemaphore) -> Reached:
        """Wait for our turn, which is no time of the attempt's."""
        acquiring = gate.acquire()
        waits = not acquiring.called
        await acquiring
        try:
            if waits:
                # Not within the release of another: thousands may fail one after the other.
                await deferLater(self._reactor, 0)
            return await self._timed()
        finally:
            gate.release()

    async def _timed(self) -> Reached:
        timeout = self._settings.connectTimeout
        return await deadlined(
            self._reactor,
            timeout,
            Deferred.fromCoroutine(self._run()),
            lambda: f"no connection within {timeout:g} seconds: {self._step}",
        )

    async def _run(self) -> Reached:
        hop = self._target.hop
        if hop is not None:
            return await self._follow(*hop)
        info = await self._discover()
        try:
            return await self._reach(info)
        except NotAuthorized:
            # The websocket token may have gone stale between two calls (promise 8).
            return await self._reach(await self._discover())

    async def _discover(self) -> ServerInfo:
        self._step = "the event manager did not answer"
        target = self._target
        info = await target.discovery.discover(target.token, target.routingId.text, target.traceId)
        if not isinstance(info, ServerInfo):
            raise ApiParameters(f"discovery gave {type(info).__name__}, not a ServerInfo")
        return info

    async def _reach(self, info: ServerInfo) -> Reached:
        place = self._locate(info.websocketServer, info, secure=self._target.secure)
        try:
            return await self._resumeElsewhere(place, info) or await self._connect(place, info)
        except SeeOther as e:
            return await self._follow(e.uri, info, place.host)

    async def _resumeElsewhere(self, place: Destination, info: ServerInfo) -> Reached | None:
        """Where the server wants the session to be resumed, if it named a place that works."""
        management = None if self._target.resumption is None else self._target.resumption.management
        location = None if management is None else management.location
        if management is None or location is None:
            return None
        # Forgotten while it is tried: one that leads nowhere costs one attempt at most.
        management.location = None
        other = relocate(place, location, self._settings.allowedHosts)
        if other is None:
            return None
        try:
            reached = await self._connect(other, info)
        except (ConnectionFailed, PeerClosed):
            return None
        management.location = location
        return reached

    async def _follow(self, uri: str, info: ServerInfo, host: str) -> Reached:
        """Go where the server sends us: once, encrypted, and to no stranger."""
        allowed = self._settings.allowedHosts
        if "://" not in uri:
            raise ProtocolViolation("the server sends its clients to something that is no URL")
        place = self._locate(uri, info, secure=True, allowed=[host] if allowed is None else None)
        if allowed is None and place.host.lower() != host.lower():
            raise BackendError(
                f"the server sends its clients to another host, {place.host}; refused"
            )
        try:
            return await self._connect(place, info)
        except SeeOther:
            raise BackendError("the server sends its clients on and on") from None

    def _locate(
        self, server: str, info: ServerInfo, *, secure: bool, allowed: list[str] | None = None
    ) -> Destination:
        return locate(
            server,
            info,
            self._target.routingId.text,
            self._target.transports.schemes,
            secure=secure,
            insecure=self._settings.insecure,
            allowedHosts=self._settings.allowedHosts if allowed is None else allowed,
        )

    async def _connect(self, place: Destination, info: ServerInfo) -> Reached:
        known = self._target.dialects
        try:
            if self._settings.dialect != "auto":
                link = await self._speak(self._settings.dialect, place, info)
            elif place.name in known:
                link = await self._speak(known[place.name], place, info)
            else:
                link = await self._find(place, info)
        except _DialectRefused as e:
            # To be found anew by the next attempt; but a server that goes down refuses all.
            known.pop(place.name, None)
            raise e.reason from None
        return Reached(link, info, place.host)

    async def _find(self, place: Destination, info: ServerInfo) -> Link:
        """The first dialect that the server understands, and the last one's error if none."""
        *first, last = self._target.transports.serving(place.scheme).dialects
        for dialect in first:
            try:
                link = await self._speak(
                    dialect, place, info, patience=self._settings.connectTimeout / 2
                )
            except _DialectRefused:
                continue
            self._target.dialects[place.name] = dialect
            return link
        link = await self._speak(last, place, info)
        self._target.dialects[place.name] = last
        return link

    async def _speak(
        self, dialect: str, place: Destination, info: ServerInfo, patience: float | None = None
    ) -> Link:
        """
        @param patience: seconds in which the server must have shown its features.
        @raise _DialectRefused: when it ended before it showed any.
        """
        settings, target = self._settings, self._target
        session = XmppSession(
            SessionSettings(
                dialect,
                target.routingId,
                info.websocketToken,
                secure=place.scheme.secure or isLoopback(place.host),
                anonymous=settings.anonymous,
                limits=settings.limits,
                iqTimeout=settings.iqTimeout,
                streamManagement=settings.streamManagement,
                beatsSoon=settings.pingInterval <= _SOON,
                resumption=target.resumption,
            )
        )
        link = self._newLink(session)
        place = attrs.evolve(place, proxy=settings.proxies.choose(place.host, place.scheme.secure))
        self._step = f"{place.name} did not open a connection"
        transport = await target.transports.serving(place.scheme).open(
            place, link, self._reactor, settings.trust, settings.limits
        )
        self._step = f"{place.name} did not bring up an XMPP session"
        link.begin(transport)

        def lookForFeatures() -> None:
            if not session.sawFeatures:
                link.drop(NoAnswer(f"{place.name} said nothing to the {dialect} dialect"))

        time = steadyTime(self._reactor)
        look = None if patience is None else time.callLater(patience, lookForFeatures)
        try:
            await link.up
        except CancelledError:
            await link.gone
            raise
        except (PeerClosed, NoAnswer, BackendError) as e:
            if session.sawFeatures or isinstance(e, (ProtocolViolation, Conflict, SeeOther)):
                raise
            raise _DialectRefused(e) from None
        finally:
            if look is not None and look.active():
                look.cancel()
        return link
