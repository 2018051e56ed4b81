"""
What the event manager's answer means (protocol.md section 1). Pure: status and
body in, L{ServerInfo} or an error out.
"""

from __future__ import annotations

import math
from typing import Any

from ..errors import ApiParameters, ConnectionFailed, IncorrectParameters, TokenRefused
from ..net.addresses import segment
from ..net.http.error_text import serverMessage
from ..net.json_text import decodeJson
from .server_info import IceServer, ServerInfo, TurnCredentials

__all__ = ["readAnswer", "readTurnCredentials"]


def _json(body: bytes) -> Any:
    return decodeJson(body.decode("utf-8"))


def readAnswer(origin: str, status: int, body: bytes, token: str, now: float) -> ServerInfo:
    """
    @param origin: what the event manager is called in errors.
    @param token: the iris token that was sent, to keep it out of errors.
    @param now: epoch seconds.
    @raise TokenRefused: a 401 in the event manager's own words.
    @raise ApiParameters: JSON that lacks what is needed.
    @raise ConnectionFailed: anything else.
    """
    try:
        answer = _json(body)
    except ValueError:
        answer = body
    if status == 401 and isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        raise TokenRefused(
            f"the event manager {origin} refused the iris token{serverMessage(answer, token)}; "
            f"get a new one"
        )
    if 300 <= status < 400:
        raise ConnectionFailed(
            f"the event manager {origin} answered {status}, a redirect; redirects are not "
            f"followed, because the iris token would go with them: check the URL"
        )
    if status == 401:
        raise ConnectionFailed(
            f"something between here and the event manager {origin} answered 401: it was not "
            f"the event manager's own answer; check for a proxy that wants a login"
        )
    if status != 200:
        raise ConnectionFailed(
            f"the event manager {origin} answered {status}{serverMessage(answer, token)}"
        )
    if answer is body:
        what = "an empty body" if not body.strip() else "something that is not JSON"
        raise ConnectionFailed(
            f"the event manager {origin} answered 200 with {what}: check that the URL is that "
            f"of an event manager"
        )
    if not isinstance(answer, dict):
        raise ApiParameters(f"the event manager {origin} answered JSON that is no object")
    return ServerInfo(
        _text(answer, "websocket_server", origin),
        _segment(_text(answer, "websocket_server_token", origin), "websocket_server_token", origin),
        _segment(_expiry(answer, origin), "websocket_server_token_expiry_time", origin),
        readTurnCredentials(answer.get("turn_credentials"), now),
    )


def _text(answer: dict[str, Any], name: str, origin: str) -> str:
    value = answer.get(name)
    if value is None or value == "":
        raise ApiParameters(f"the answer of the event manager {origin} has no {name}")
    if not isinstance(value, str):
        raise ApiParameters(
            f"{name} in the answer of the event manager {origin} is {type(value).__name__}, "
            f"not text"
        )
    return value


def _expiry(answer: dict[str, Any], origin: str) -> str:
    name = "websocket_server_token_expiry_time"
    value = answer.get(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # json.loads turns 1e999 into infinity, and a huge integer fits no float.
        if abs(value) > 1e15:
            raise ApiParameters(f"{name} in the answer of the event manager {origin} is no time")
        return str(int(value))
    return _text(answer, name, origin)


def _segment(value: str, name: str, origin: str) -> str:
    try:
        segment(name, value)
    except IncorrectParameters as e:
        raise ApiParameters(f"in the answer of the event manager {origin}, {e.message}") from None
    return value


def readTurnCredentials(value: Any, now: float) -> TurnCredentials | None:
    """
    TURN credentials in any of the forms seen; what cannot be read is C{None},
    for they are never a reason to fail.

    @param now: epoch seconds; the expiry is C{now + ttl}.
    """
    if isinstance(value, str):
        try:
            value = decodeJson(value)
        except ValueError:
            return None
    if not isinstance(value, dict):
        return None
    servers = [s for s in map(_iceServer, _list(value.get("ice_servers"))) if s is not None]
    uris = _uris(value.get("uris"))
    if uris:
        servers.append(
            IceServer(uris, _optional(value.get("username")), _optional(value.get("password")))
        )
    if not servers:
        return None
    return TurnCredentials(tuple(servers), _expiryAfter(value.get("ttl"), now))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _optional(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _uris(value: Any) -> tuple[str, ...]:
    uris = [value] if isinstance(value, str) else _list(value)
    return tuple(uri for uri in uris if isinstance(uri, str) and uri)


def _iceServer(value: Any) -> IceServer | None:
    if not isinstance(value, dict):
        return None
    urls = _uris(value.get("urls") or value.get("url"))
    if not urls:
        return None
    return IceServer(urls, _optional(value.get("username")), _optional(value.get("credential")))


def _expiryAfter(ttl: Any, now: float) -> float | None:
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float, str)):
        return None
    try:
        seconds = float(ttl)
    except (ValueError, OverflowError):
        return None
    return now + seconds if math.isfinite(seconds) and seconds > 0 else None
