"""
What the console changes: each by a POST, with the token that stands in the page, and from
that page only.
"""

from __future__ import annotations

import hmac
import json
from typing import Any
from urllib.parse import urlsplit

from twisted.web.server import Request

from ..net.http.serving import headerOf
from ..net.json_text import decodeJson
from .entrance import ForThisMachine

__all__ = ["Change", "NoChange", "answer"]

_LONGEST_BODY = 4096


def answer(request: Request, status: int, words: str) -> bytes:
    """What a change came to, for the script and for people."""
    request.setResponseCode(status)
    request.setHeader("content-type", "application/json")
    return json.dumps({"message": words}, allow_nan=False).encode() + b"\n"


class NoChange(ForThisMachine):
    """POST: the answer to who may only read."""

    isLeaf = True

    def __init__(self, verb: str) -> None:
        super().__init__()
        self._verb = verb

    def render_POST(self, request: Request) -> bytes:
        words = f"you may read, and not {self._verb}: ask for that right"
        return answer(request, 403, words)


class Change(ForThisMachine):
    """
    @param token: that stands in the page.
    """

    isLeaf = True

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def render_POST(self, request: Request) -> Any:
        origin = headerOf(request, "origin")
        host = headerOf(request, "host")
        token = headerOf(request, "x-console-token").encode("utf-8", "surrogateescape")
        if origin and urlsplit(origin).netloc != host:
            return answer(request, 403, "this request comes from another page")
        if not hmac.compare_digest(token, self._token.encode()):
            return answer(request, 403, "the page is not from this process: load it again")
        body = request.content.read(_LONGEST_BODY) if request.content is not None else b""
        try:
            value = decodeJson(body.decode("utf-8"))
        except ValueError:
            value = None
        # Who asked is known where there was a guard: it has looked at the same header.
        who = request.getUser().decode("utf-8", "replace") or "somebody"
        return self.change(request, value if isinstance(value, dict) else {}, who)

    def change(self, request: Request, value: dict[str, Any], who: str) -> Any:
        """
        Do it; the result is that of C{render}.

        @param value: what was sent; nothing where that was no object.
        @param who: asks, for the log.
        """
        raise NotImplementedError

    @staticmethod
    def finish(request: Request, status: int, words: str) -> None:
        """The answer, if somebody still waits for it."""
        if not request._disconnected:
            request.write(answer(request, status, words))
            request.finish()
