"""
The sandbox over HTTP: discovery, and the control API. Every answer is what a
browser's preflight asks for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from twisted.web.resource import NoResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from ..net.http.serving import headerOf
from ..net.json_text import decodeJson
from .backend import Backend
from .platform import Platform
from .records import Answer, SandboxError

__all__ = ["Branch", "Control", "Discovery", "Root", "answerJson", "notFound"]

# Seconds in either direction: a hundred years.
_LONGEST_LIFE = 100 * 366 * 86_400.0


class Root(Resource):
    """The root of the site; its answers may be read by any page."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        return NoResource()

    def getChildWithDefault(self, path: bytes, request: Request) -> Resource:
        asked = headerOf(request, "access-control-request-headers")
        request.setHeader("access-control-allow-origin", "*")
        request.setHeader("access-control-allow-methods", "GET, POST, PUT, DELETE, OPTIONS")
        request.setHeader("access-control-allow-headers", asked or "authorization, content-type")
        request.setHeader("access-control-max-age", "600")
        if request.method == b"OPTIONS":
            return _Preflight()
        child: Resource = super().getChildWithDefault(path, request)
        return child


class _Preflight(Resource):
    isLeaf = True

    def render(self, request: Request) -> bytes:
        request.setResponseCode(204)
        return b""


def answerJson(request: Request, status: int, value: Any) -> bytes:
    request.setResponseCode(status)
    request.setHeader("content-type", "application/json")
    return json.dumps(value, allow_nan=False).encode() + b"\n"


def notFound(request: Request) -> bytes:
    """There is nothing at that path."""
    return answerJson(request, 404, {"error": {"code": 404, "message": "Not found"}})


class _Nothing(Resource):
    isLeaf = True

    def render(self, request: Request) -> bytes:
        return notFound(request)


class Branch(Resource):
    """Other resources below one name, and nothing else."""

    def __init__(self, children: Mapping[bytes, Resource]) -> None:
        super().__init__()
        for name, child in children.items():
            self.putChild(name, child)

    def getChild(self, path: bytes, request: Request) -> Resource:
        return _Nothing()


class Discovery(Resource):
    """The event manager (protocol.md section 1)."""

    isLeaf = True

    def __init__(
        self,
        platform: Platform,
        source: Platform | Backend,
        name: str,
        asked: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._platform = platform
        self._source = source
        self._name = name
        self._asked = asked

    def render_GET(self, request: Request) -> Any:
        path = [part.decode("utf-8", "replace") for part in request.postpath or []]
        if len(path) != 2 or path[0] != self._name:
            return notFound(request)
        if "discovery" in self._platform.hanging:
            return NOT_DONE_YET
        answer = self._platform.answer
        if answer is not None:
            request.setResponseCode(answer.status)
            for name, value in answer.headers.items():
                request.setHeader(name, value)
            return answer.body
        scheme, _, token = (headerOf(request, "authorization")).partition(" ")
        routingId = path[1]
        found = None
        if scheme == "Bearer" and token:
            found = self._source.discover(routingId, token, headerOf(request, "host"))
        if found is None:
            return answerJson(request, 401, {"error": {"code": 401, "message": "Invalid token"}})
        self._asked(routingId)
        return answerJson(request, 200, found)


class Control(Resource):
    """C{/control}: place calls and make trouble."""

    isLeaf = True

    def __init__(self, platform: Platform) -> None:
        super().__init__()
        self._platform = platform
        self._actions: dict[tuple[str, str, bool], Callable[[dict[str, Any], str], Any]] = {
            ("POST", "calls", False): self._placeCall,
            ("GET", "calls", False): lambda _, __: [c.asDict() for c in platform.calls.values()],
            ("POST", "calls", True): lambda _, id: platform.tellAgain(id).asDict(),
            ("DELETE", "calls", True): lambda _, id: platform.cancelCall(id).asDict(),
            ("GET", "sessions", False): self._sessions,
            ("DELETE", "sessions", True): self._drop,
            ("PUT", "discovery", False): self._answer,
            ("DELETE", "discovery", False): lambda _, __: setattr(platform, "answer", None),
            ("PUT", "hang", False): lambda body, _: platform.hang(_text(body, "step")),
            ("DELETE", "hang", False): lambda _, __: platform.hanging.clear(),
            ("POST", "tokens", False): self._token,
            ("DELETE", "tokens", True): lambda _, token: platform.refusedTokens.add(token),
        }

    def render(self, request: Request) -> bytes:
        path = [part.decode("utf-8", "replace") for part in request.postpath or []]
        method = request.method.decode("ascii", "replace")
        topic, argument = ([*path, "", ""])[:2]
        action = self._actions.get((method, topic, bool(argument)))
        if action is None or len(path) > 2:
            message = f"{method} /control/{'/'.join(path)} is nothing that the sandbox can do"
            return answerJson(request, 404, {"error": message})
        try:
            result = action(self._body(request), argument)
        except SandboxError as e:
            return answerJson(request, 400, {"error": str(e)})
        if result is None:
            request.setResponseCode(204)
            return b""
        return answerJson(request, 201 if method == "POST" else 200, result)

    @staticmethod
    def _body(request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            name.decode("utf-8", "replace"): values[0].decode("utf-8", "replace")
            for name, values in request.args.items()
        }
        content = request.content.read() if request.content is not None else b""
        if content.strip():
            try:
                value = decodeJson(content.decode("utf-8"))
            except ValueError:
                raise SandboxError("the body is not JSON") from None
            if not isinstance(value, dict):
                raise SandboxError("the body must be a JSON object")
            body.update(value)
        return body

    def _placeCall(self, body: dict[str, Any], _: str) -> Any:
        names = {
            "from": "sender",
            "caller": "caller",
            "room": "room",
            "type": "kind",
            "topic": "topic",
        }
        options = {names[name]: _text(body, name) for name in names if body.get(name) is not None}
        return self._platform.placeCall(_text(body, "to"), **options).asDict()

    def _sessions(self, _: dict[str, Any], __: str) -> Any:
        return [
            {"id": s.id, "jid": s.jid, "routingId": s.routingId, "dialect": s.dialect}
            for s in self._platform.sessions.values()
        ]

    def _drop(self, body: dict[str, Any], id: str) -> None:
        self._platform.drop(id, str(body.get("how", "abort")))

    def _answer(self, body: dict[str, Any], _: str) -> None:
        status = body.get("status", 200)
        if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
            raise SandboxError(f"status must be a number from 200 to 599, not {status!r}")
        text = body.get("body", "")
        content = text if isinstance(text, str) else json.dumps(text, allow_nan=False)
        self._platform.answer = Answer(status, content.encode("utf-8", "replace"))

    def _token(self, body: dict[str, Any], _: str) -> Any:
        lifetime = body.get("lifetime", 3600)
        if isinstance(lifetime, bool) or not isinstance(lifetime, (int, float)):
            raise SandboxError(f"lifetime must be a number of seconds, not {lifetime!r}")
        if not -_LONGEST_LIFE <= lifetime <= _LONGEST_LIFE:
            raise SandboxError("lifetime must be less than 100 years, either way")
        return {"token": self._platform.token(_text(body, "routingId"), lifetime)}


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise SandboxError(f"{name} must be given, as text")
    return value
