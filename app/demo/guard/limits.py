"""Limits of requests: size, rate, and bytes of uploads."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from poseunion.app.demo.guard.hosts import answer
from poseunion.app.demo.guard.quota import Quota, client_of

# Clients counted at a time: an attacker with many addresses costs a fixed amount of memory.
MOST_CLIENTS = 4096
# Bytes that the form around an upload may add.
FORM_BYTES = 65_536

# Where Gradio takes uploads.
UPLOAD = "/gradio_api/upload"
# How long after its removal is due an upload may still lie there: the sweep's own interval, twice.
KEPT_S, SWEEP_S = 300, 60


@dataclass(frozen=True)
class Limits:
    """Limits of one visitor's requests.

    Attributes:
        upload_bytes: of one upload.
        per_minute: uploads and requests for work of one address; a burst of half of that is let through at once.
        waiting: requests for work that may wait in the queue, of all visitors.
        client_bytes, total_bytes: of the uploads that lie on the server at a time, of one client and of all.
        seconds: that one piece of work may take; then it is given up.
    """

    upload_bytes: int = 25_000_000
    per_minute: int = 240
    waiting: int = 100
    client_bytes: int = 250_000_000
    total_bytes: int = 2_000_000_000
    seconds: float = 120.0


class LimitCheck:
    """ASGI middleware: refuses what is too large (413), too often (429) or more than the disk is to hold (507)."""

    def __init__(self, app: Any, limits: Limits) -> None:
        self.app = app
        self.limits = limits
        self._quota = Quota(limits.client_bytes, limits.total_bytes, KEPT_S + 2 * SWEEP_S)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> (tokens, when counted)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        if scope["method"] == "POST":
            if refusal := self._refused(scope):
                await answer(send, *refusal)
                return
            receive = _counted(receive, self.limits.upload_bytes + FORM_BYTES)
        await self.app(scope, receive, send)

    def _refused(self, scope: dict[str, Any]) -> tuple[int, str] | None:
        """Status and sentence of a refusal."""
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.limits.upload_bytes + FORM_BYTES:
            return 413, f"Uploads of more than {self.limits.upload_bytes / 1e6:g} MB are not taken."
        client = scope.get("client")
        name, now = client_of(client[0] if client else ""), time.monotonic()
        if not self._allowed(name, now):
            return 429, f"More than {self.limits.per_minute} requests a minute: wait a little."
        if scope.get("path", "").rstrip("/").endswith(UPLOAD):
            if b"content-length" not in headers:
                return 411, "An upload needs a Content-Length header."
            if not self._quota.take(name, int(length), now):
                return 507, f"There is no room for more uploads: wait {KEPT_S // 60} minutes."
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
