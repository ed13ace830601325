"""What a visitor may ask of the server: request size, rate, and headers that keep the page to itself."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

# Clients remembered at a time: an attacker with many addresses costs a fixed amount of memory.
MOST_CLIENTS = 4096
# What the form around an upload may add.
FORM_BYTES = 65_536

# Gradio evaluates templates, so scripts need 'unsafe-eval' and 'unsafe-inline'; nothing may be fetched from elsewhere.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'"
)
HEADERS = (
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
)


@dataclass(frozen=True)
class Limits:
    """What one visitor may ask.

    Attributes:
        upload_bytes: of one upload.
        per_minute: uploads and requests for work of one address; a burst of half of that is let through at once.
        waiting: requests for work that may wait in the queue, of all visitors.
    """

    upload_bytes: int = 25_000_000
    per_minute: int = 240
    waiting: int = 100


class Gate:
    """ASGI middleware: refuses what is too large (413) or too often (429), and adds `HEADERS` to every answer."""

    def __init__(self, app: Any, limits: Limits) -> None:
        self.app = app
        self.limits = limits
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> (tokens, when counted)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
            await send(message)

        if scope["method"] == "POST":
            if refusal := self._refused(scope):
                await _answer(send_with_headers, *refusal)
                return
            receive = _counted(receive, self.limits.upload_bytes + FORM_BYTES)
        await self.app(scope, receive, send_with_headers)

    def _refused(self, scope: dict[str, Any]) -> tuple[int, str] | None:
        """Status and sentence of a refusal."""
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.limits.upload_bytes + FORM_BYTES:
            return 413, f"Uploads of more than {self.limits.upload_bytes / 1e6:g} MB are not taken."
        client = scope.get("client")
        if not self._allowed(client[0] if client else "", time.monotonic()):
            return 429, f"More than {self.limits.per_minute} requests a minute: wait a little."
        return None

    def _allowed(self, address: str, now: float) -> bool:
        """A token bucket for each address."""
        most = self.limits.per_minute / 2
        tokens, counted = self._buckets.pop(address, (most, now))
        tokens = min(most, tokens + (now - counted) * self.limits.per_minute / 60)
        allowed = tokens >= 1
        self._buckets[address] = (tokens - 1 if allowed else tokens, now)
        while len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return allowed


def _counted(receive: Any, most: int) -> Any:
    """`receive` that hangs up on a body that turns out longer than it may be (no content-length, chunked)."""
    seen = 0

    async def counted() -> dict[str, Any]:
        nonlocal seen
        message: dict[str, Any] = await receive()
        seen += len(message.get("body", b""))
        return {"type": "http.disconnect"} if seen > most else message

    return counted


async def _answer(send: Any, status: int, sentence: str) -> None:
    body = sentence.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
