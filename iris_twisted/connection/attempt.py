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
from .websocket_address import resumptionDestination, websocketDestination

__all__ = ["Attempt", "Connected", "Target"]

# Seconds for which no server's wait for an acknowledgement is too short.
_SOON = 10.0


@attrs.frozen
class Target:
    """
    What an attempt is made for.

    @ivar secure: whether the event manager is reached by https.
    @ivar dialects: which dialect each server spoke last time, by its name.
    @ivar resumption: the session to go on with, if the server still has it.
    @ivar redirect: an address to go to first, without discovery, with what was
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
    redirect: tuple[str, ServerInfo, str] | None = None


@attrs.frozen
class Connected:
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

    def run(self) -> Deferred[Connected]:
        """
        @return: fires with the link that is up; fails with an L{IrisError}, once
            everything that was opened is closed; can be cancelled at any time.
        """
        gate = self._settings.gate
        return Deferred.fromCoroutine(self._withDeadline() if gate is None else self._inTurn(gate))

    async def _inTurn(self, gate: DeferredSemaphore) -> Connected:
        """Wait for our turn, which is no time of the attempt's."""
        acquiring = gate.acquire()
        waits = not acquiring.called
        await acquiring
        try:
            if waits:
                # Not within the release of another: thousands may fail one after the other.
                await deferLater(steadyTime(self._reactor), 0)
            return await self._withDeadline()
        finally:
            gate.release()

    async def _withDeadline(self) -> Connected:
        timeout = self._settings.connectTimeout
        return await deadlined(
            self._reactor,
            timeout,
            Deferred.fromCoroutine(self._run()),
            lambda: f"no connection within {timeout:g} seconds: {self._step}",
        )

    async def _run(self) -> Connected:
        redirect = self._target.redirect
        if redirect is not None:
            return await self._followRedirect(*redirect)
        info = await self._discover()
        try:
            return await self._connectServer(info)
        except NotAuthorized:
            # The websocket token may have gone stale between two calls (promise 8).
            return await self._connectServer(await self._discover())

    async def _discover(self) -> ServerInfo:
        self._step = "the event manager did not answer"
        target = self._target
        info = await target.discovery.discover(target.token, target.routingId.text, target.traceId)
        if not isinstance(info, ServerInfo):
            raise ApiParameters(f"discovery gave {type(info).__name__}, not a ServerInfo")
        return info

    async def _connectServer(self, info: ServerInfo) -> Connected:
        destination = self._destinationOf(info.websocketServer, info, secure=self._target.secure)
        try:
            return await self._resumeElsewhere(destination, info) or await self._connect(
                destination, info
            )
        except SeeOther as e:
            return await self._followRedirect(e.uri, info, destination.host)

    async def _resumeElsewhere(
        self, destination: Destination, info: ServerInfo
    ) -> Connected | None:
        """Where the server wants the session to be resumed, if it named one that works."""
        management = None if self._target.resumption is None else self._target.resumption.management
        location = None if management is None else management.location
        if management is None or location is None:
            return None
        # Forgotten while it is tried: one that leads nowhere costs one attempt at most.
        management.location = None
        other = resumptionDestination(destination, location, self._settings.allowedHosts)
        if other is None:
            return None
        try:
            reached = await self._connect(other, info)
        except (ConnectionFailed, PeerClosed):
            return None
        management.location = location
        return reached

    async def _followRedirect(self, uri: str, info: ServerInfo, host: str) -> Connected:
        """Go where the server sends us: once, encrypted, and to no stranger."""
        allowed = self._settings.allowedHosts
        if "://" not in uri:
            raise ProtocolViolation("the server sends its clients to something that is no URL")
        destination = self._destinationOf(
            uri, info, secure=True, allowed=[host] if allowed is None else None
        )
        if allowed is None and destination.host.lower() != host.lower():
            raise BackendError(
                f"the server sends its clients to another host, {destination.host}; refused"
            )
        try:
            return await self._connect(destination, info)
        except SeeOther:
            raise BackendError("the server sends its clients on and on") from None

    def _destinationOf(
        self, server: str, info: ServerInfo, *, secure: bool, allowed: list[str] | None = None
    ) -> Destination:
        return websocketDestination(
            server,
            info,
            self._target.routingId.text,
            self._target.transports.schemes,
            secure=secure,
            insecure=self._settings.insecure,
            allowedHosts=self._settings.allowedHosts if allowed is None else allowed,
        )

    async def _connect(self, destination: Destination, info: ServerInfo) -> Connected:
        known = self._target.dialects
        try:
            if self._settings.dialect != "auto":
                link = await self._openSession(self._settings.dialect, destination, info)
            elif destination.name in known:
                link = await self._openSession(known[destination.name], destination, info)
            else:
                link = await self._probeDialects(destination, info)
        except _DialectRefused as e:
            # To be found anew by the next attempt; but a server that goes down refuses all.
            known.pop(destination.name, None)
            raise e.reason from None
        return Connected(link, info, destination.host)

    async def _probeDialects(self, destination: Destination, info: ServerInfo) -> Link:
        """The first dialect that the server understands, and the last one's error if none."""
        *first, last = self._target.transports.serving(destination.scheme).dialects
        for dialect in first:
            try:
                link = await self._openSession(
                    dialect, destination, info, featuresWithin=self._settings.connectTimeout / 2
                )
            except _DialectRefused:
                continue
            self._target.dialects[destination.name] = dialect
            return link
        link = await self._openSession(last, destination, info)
        self._target.dialects[destination.name] = last
        return link

    async def _openSession(
        self,
        dialect: str,
        destination: Destination,
        info: ServerInfo,
        featuresWithin: float | None = None,
    ) -> Link:
        """
        @param featuresWithin: seconds in which the server must have shown its features.
        @raise _DialectRefused: when it ended before it showed any.
        """
        settings, target = self._settings, self._target
        session = XmppSession(
            SessionSettings(
                dialect,
                target.routingId,
                info.websocketToken,
                secure=destination.scheme.secure or isLoopback(destination.host),
                anonymous=settings.anonymous,
                limits=settings.limits,
                iqTimeout=settings.iqTimeout,
                streamManagement=settings.streamManagement,
                pingsOften=settings.pingInterval <= _SOON,
                resumption=target.resumption,
            )
        )
        link = self._newLink(session)
        destination = attrs.evolve(
            destination, proxy=settings.proxies.choose(destination.host, destination.scheme.secure)
        )
        self._step = f"{destination.name} did not open a connection"
        transport = await target.transports.serving(destination.scheme).open(
            destination, link, self._reactor, settings.trust, settings.limits
        )
        self._step = f"{destination.name} did not bring up an XMPP session"
        link.begin(transport)

        def lookForFeatures() -> None:
            if not session.sawFeatures:
                link.abort(NoAnswer(f"{destination.name} said nothing to the {dialect} dialect"))

        time = steadyTime(self._reactor)
        look = None if featuresWithin is None else time.callLater(featuresWithin, lookForFeatures)
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
