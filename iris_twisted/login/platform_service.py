"""
What the clients of the platform's HTTP services have in common: an address, requests,
and answers in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..connection.settings import Settings
from ..discovery.event_manager_address import EventManagerAddress
from ..errors import ApiParameters, ConnectionFailed, TokenRefused
from ..net.deadline import deadlined
from ..net.http.error_text import serverMessage
from ..net.http.requests import Answer, HttpRequests
from ..net.json_text import decodeJson

__all__ = ["PlatformService"]


class PlatformService:
    """
    One service of the platform.

    @param what: as in "the auth manager", for errors.
    @param url: C{host}, C{host:port} or an C{https://} URL.
    @param reactor: C{None} for the global one.
    @param settings: whose C{trustRoot}, C{insecure}, C{proxy} and C{connectTimeout} count.
    @raise IncorrectParameters: naming what is wrong with the URL.
    """

    def __init__(
        self, what: str, url: str, reactor: Any = None, settings: Settings | None = None
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        settings = settings or Settings()
        name = f"the URL of {what}"
        self.address = EventManagerAddress.parse(url, settings.insecure, name)
        self.name = f"{what} {self.address.origin}"
        self._reactor = reactor
        self._timeout = settings.connectTimeout
        self._requests = HttpRequests(
            reactor,
            what,
            settings.trust,
            limit=settings.limits.discoveryBody,
            connectTimeout=settings.connectTimeout,
            proxies=settings.proxies,
        )

    async def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        value: object = None,
        accepts: frozenset[int] = frozenset(),
    ) -> Answer:
        """
        @param path: below the URL, encoded already.
        @param value: to send as JSON, if not C{None}.
        @param accepts: which statuses are no errors, besides 200 to 299.
        @raise TokenRefused: for 401 and 403.
        @raise ConnectionFailed: for anything else that is no success.
        """
        body = None if value is None else json.dumps(value).encode()
        headers = {"Accept": "application/json", **headers}
        if body is not None:
            headers["Content-Type"] = "application/json"
        sending = self._requests.send(
            method, self.address.origin, self.address.url(path), headers, body
        )
        answer = await deadlined(
            self._reactor,
            self._timeout,
            sending,
            lambda: f"{self.name} did not answer within {self._timeout:g} seconds",
        )
        if 200 <= answer.status < 300 or answer.status in accepts:
            return answer
        # Whatever was sent may be repeated in the answer.
        secrets = [part for text in headers.values() for part in text.split()[1:]]
        if isinstance(value, dict):
            secrets += [text for text in value.values() if isinstance(text, str)]
        words = serverMessage(self._value(answer), *secrets)
        if answer.status in (401, 403):
            raise TokenRefused(f"{self.name} refused what it was shown, {answer.status}{words}")
        raise ConnectionFailed(f"{self.name} answered {answer.status}{words}")

    @staticmethod
    def _value(answer: Answer) -> Any:
        try:
            return decodeJson(answer.body.decode("utf-8"))
        except ValueError:
            return None

    def json(self, answer: Answer) -> Any:
        """
        The value that it answered.

        @raise ApiParameters: when it is no JSON.
        """
        value = self._value(answer)
        if value is None:
            raise ApiParameters(f"{self.name} answered something that is not JSON")
        return value

    def text(self, value: Any, *names: str) -> str:
        """
        The first of these fields that there is.

        @raise ApiParameters: when there is none, or it is no text.
        """
        for name in names:
            found = value.get(name) if isinstance(value, dict) else None
            if isinstance(found, str) and found:
                return found
        raise ApiParameters(f"the answer of {self.name} has no {' or '.join(names)}")
