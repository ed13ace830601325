"""Allowed host names and origins of requests (against DNS rebinding, CSRF, clickjacking)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Gradio evaluates templates, so scripts need 'unsafe-eval' and 'unsafe-inline'; nothing may be fetched from elsewhere.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'"
)
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
DEFAULT_PORTS = {"http": 80, "https": 443}
OTHER_SITE = "This request comes from another site's page: open this page itself."


def headers(embed_in: str = "") -> tuple[tuple[bytes, bytes], ...]:
    """Headers of every response.

    Args:
        embed_in: the one site that may show the page in a frame of its own.
    """
    policy = f"{CONTENT_POLICY}; frame-ancestors {embed_in or chr(39) + 'none' + chr(39)}"
    frames = () if embed_in else ((b"x-frame-options", b"DENY"),)
    return (
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
        *frames,
    )


class HostCheck:
    """ASGI middleware, the outermost one: allowed hosts (400), allowed origins (403), and `headers` on every answer.

    Args:
        hosts: names that the page is served under, without ports; `*.name` allows what lies below a name.
        proxies: addresses or networks of reverse proxies, whose X-Forwarded-* count; those of others are dropped.
        embed_in: see `headers`.
    """

    def __init__(self, app: Any, hosts: Sequence[str], proxies: Sequence[str] = (), embed_in: str = "") -> None:
        self.app = app
        self.hosts = tuple(host.lower().strip("[]") for host in hosts)
        self.proxies = [ipaddress.ip_network(proxy, strict=False) for proxy in proxies]
        self.headers = headers(embed_in)
        self._behind = ProxyHeadersMiddleware(self._inside, trusted_hosts=list(proxies))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        # The address that is connected, before any header is read: headers may not change it.
        if self._is_proxy(scope.get("client")):
            await self._behind(scope, receive, send)
            return
        kept = [(k, v) for k, v in scope["headers"] if not k.startswith(b"x-forwarded-") and k != b"forwarded"]
        await self._inside({**scope, "headers": kept}, receive, send)

    async def _inside(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *self.headers]}
            await send(message)

        if refusal := self.refusal(scope):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await answer(send_with_headers, *refusal)
            return
        # Compared already. Without it Gradio adds no CORS headers, which would let other sites read with credentials.
        kept = [(k, v) for k, v in scope["headers"] if k != b"origin"]
        await self.app({**scope, "headers": kept}, receive, send_with_headers)

    def refusal(self, scope: Any) -> tuple[int, str] | None:
        """Status and sentence, None where the request may pass."""
        given = {k: v.decode("latin1") for k, v in scope["headers"]}
        # Kept only of a proxy: the name in the visitor's request.
        host = given.get(b"x-forwarded-host", given.get(b"host", "")).split(",")[0].strip().lower()
        name = _name(host)
        if name is None or not any(_fits(name, allowed) for allowed in self.hosts):
            return 400, "The page is not served under this name: --allowed-host NAME allows it."
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
            return None
        # `same-site` is another port or a sister domain: not this page.
        if given.get(b"sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, OTHER_SITE
        origin = given.get(b"origin")
        if origin is not None and not _same_origin(origin, host):
            return 403, OTHER_SITE
        return None

    def _is_proxy(self, client: Any) -> bool:
        if not self.proxies or not client:
            return False
        try:
            address = ipaddress.ip_address(client[0])
        except ValueError:
            return False
        return any(address in network for network in self.proxies)


def _name(host: str) -> str | None:
    """A Host header without its port; None where it is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    return None if parts.username is not None or parts.path else parts.hostname


def _fits(name: str, allowed: str) -> bool:
    return name.endswith(allowed[1:]) if allowed.startswith("*.") else name == allowed


def _same_origin(origin: str, host: str) -> bool:
    try:
        given, own = urlsplit(origin.lower()), urlsplit(f"//{host}")
        default = DEFAULT_PORTS.get(given.scheme)
        # Only a proxy has the scheme of the visitor's address, so the origin's own default port is taken for both.
        return default is not None and (given.hostname, given.port or default) == (
            own.hostname,
            own.port or default,
        )
    except ValueError:
        return False


async def answer(send: Any, status: int, sentence: str) -> None:
    """A short answer in plain text."""
    body = sentence.encode()
    lines = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
