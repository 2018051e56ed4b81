"""
The sandbox's auth, identity and notification managers over HTTP (protocol.md section 8).
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Request

from ..net.http.serving import headerOf
from ..net.json_text import decodeJson
from ..net.jwt import claimsOf, expiryOf
from .directory import Directory
from .http import answerJson, notFound

__all__ = ["PasswordLogin", "services"]

_REFUSED = {"error": {"code": 401, "message": "Invalid credentials"}}


def _object(request: Request) -> dict[str, Any]:
    content = request.content.read() if request.content is not None else b""
    try:
        value = decodeJson(content.decode("utf-8"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


class _Service(Resource):
    isLeaf = True

    def __init__(self, directory: Directory) -> None:
        super().__init__()
        self._directory = directory

    @staticmethod
    def _path(request: Request) -> list[str]:
        return [part.decode("utf-8", "replace") for part in request.postpath or []]

    def _user(self, request: Request) -> str | None:
        """Whose token the request shows."""
        scheme, _, token = (headerOf(request, "authorization")).partition(" ")
        if scheme != "Bearer" or (expiryOf(token) or 0.0) <= self._directory.now():
            return None
        return str(claimsOf(token).get("id"))


class PasswordLogin(_Service):
    """C{/v1.1/login}: by email and password, or by a refresh token."""

    def __init__(self, directory: Directory) -> None:
        super().__init__(directory)
        self._refreshTokens: dict[str, str] = {}

    def render_POST(self, request: Request) -> bytes:
        directory, value = self._directory, _object(request)
        if not self._ofKnownApp(request):
            return answerJson(request, 401, _REFUSED)
        known = self._refreshTokens.pop(_text(value, "refresh_token"), None)
        email = known or _text(value, "email")
        if not email or not (known or directory.accepts(email, _text(value, "password"))):
            return answerJson(request, 401, _REFUSED)
        directory.logins += 1
        user = email.partition("@")[0]
        answer = {
            "token": directory.token(directory.routingId(user)),
            "id": user,
            "expires_in": str(int(directory.lifetime // 60)),
        }
        if known or value.get("access_type") == "offline":
            answer["refresh_token"] = secrets.token_urlsafe(16)
            self._refreshTokens[answer["refresh_token"]] = email
        return answerJson(request, 200, answer)

    def _ofKnownApp(self, request: Request) -> bool:
        scheme, _, text = (headerOf(request, "authorization")).partition(" ")
        try:
            pair = base64.b64decode(text, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            return False
        key, _, secret = pair.partition(":")
        return scheme == "Basic" and self._directory.knowsApp(key, secret)


class _AnonymousLogin(_Service):
    """C{/v1/login/anonymous/}."""

    def render_POST(self, request: Request) -> bytes:
        if [part for part in self._path(request) if part] != ["anonymous"]:
            return notFound(request)
        user = _text(_object(request), "UserID")
        if not user or not self._directory.knowsApp(headerOf(request, "x-app-key"), None):
            return answerJson(request, 401, _REFUSED)
        self._directory.logins += 1
        return answerJson(request, 200, {"Token": self._directory.token(user)})


class _Identity(_Service):
    """C{/v1/routingid/user/ID} and C{/v1/allidentities}."""

    def render_GET(self, request: Request) -> bytes:
        routingId = self._user(request)
        if routingId is None:
            return answerJson(request, 401, _REFUSED)
        if request.path == b"/v1/allidentities":
            answer = {"routing_id": routingId, "public_ids": []}
            return answerJson(request, 200, answer)
        path = self._path(request)
        if len(path) != 2 or path[0] != "user" or self._directory.routingId(path[1]) != routingId:
            return notFound(request)
        return answerJson(request, 200, {"routing_id": routingId})


class _Subscriber(_Service):
    """C{/v1/subscriber}."""

    def render_POST(self, request: Request) -> bytes:
        routingId = _text(_object(request), "token")
        if self._user(request) != routingId:
            return answerJson(request, 401, _REFUSED)
        return answerJson(request, 201, {"id": self._directory.subscriber(routingId)})


class _Subscription(_Service):
    """C{/v1/subscription/subscriber/ID/topic/TOPIC}."""

    def _topics(self, request: Request) -> tuple[set[str] | None, str]:
        path = self._path(request)
        if len(path) != 4 or (path[0], path[2]) != ("subscriber", "topic"):
            return None, ""
        return self._directory.subscriptions.get(path[1]), path[3]

    def _change(self, request: Request, add: bool) -> bytes:
        topics, topic = self._topics(request)
        if self._user(request) is None:
            return answerJson(request, 401, _REFUSED)
        if topics is None or (topic not in topics and not add):
            return notFound(request)
        if topic in topics and add:
            message = {"error": {"code": 409, "message": "Already subscribed"}}
            return answerJson(request, 409, message)
        (topics.add if add else topics.remove)(topic)
        request.setResponseCode(204)
        return b""

    def render_POST(self, request: Request) -> bytes:
        return self._change(request, True)

    def render_DELETE(self, request: Request) -> bytes:
        return self._change(request, False)


def services(directory: Directory) -> dict[bytes, Resource]:
    """What is below C{/v1} of them."""
    return {
        b"login": _AnonymousLogin(directory),
        b"routingid": _Identity(directory),
        b"allidentities": _Identity(directory),
        b"subscriber": _Subscriber(directory),
        b"subscription": _Subscription(directory),
    }
