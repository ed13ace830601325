"""FiftyOne's App, served to this machine only, without requests to other machines.

FiftyOne's own server would do but for four things: its page loads fonts from Google, it answers requests that another
web page sends to it, where the port is taken it shows another program's page, and its tag menus count every label that
is drawn. So its application runs here, behind headers that forbid the first, a check that refuses the second, a socket
of ours, and tag menus of proposals alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from poseunion.annotate.review.fiftyone.database import PROPOSALS
from poseunion.models.errors import BadArgumentError

ADDRESS = "127.0.0.1"
FIRST_PORT = 5151  # FiftyOne's own; the next free one is taken when several reviews are open
# All that the App needs lies on the server: scripts make workers of blobs, compile WebAssembly and set styles.
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
)

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def listen(port: int | None) -> socket.socket:
    """A socket on `port` of this machine's own address, or on the first free one from FiftyOne's own on.

    Raises:
        BadArgumentError: `port` is taken, not permitted or no port.
    """
    if port is not None and not 1 <= port <= 65535:
        raise BadArgumentError(f"--port {port} is no port: give a number from 1 to 65535.")
    for candidate in range(FIRST_PORT, FIRST_PORT + 100) if port is None else [port]:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if os.name == "posix":  # elsewhere the option would let two programs share a port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((ADDRESS, candidate))
            bound.listen(100)
        except OSError as error:
            bound.close()
            if port is not None:
                raise BadArgumentError(f"--port {port} cannot be used ({error.strerror}): give another one.") from error
            continue
        return bound
    raise BadArgumentError(f"No port from {FIRST_PORT} to {FIRST_PORT + 99} is free: give one with --port.")


def serve(bound: socket.socket) -> None:
    """Serve the App of the database that is open until Ctrl-C; `database.load` has been called with `serve`."""
    import hypercorn.asyncio
    import hypercorn.config
    from fiftyone.server.app import app
    from fiftyone.server.events import set_port

    set_port(int(bound.getsockname()[1]))
    config = hypercorn.config.Config()
    config.bind = [f"fd://{os.dup(bound.fileno())}"]  # it is closed at the end
    config.errorlog = None
    config.graceful_timeout = 1  # browsers hold their connection open
    # Messages about connections that a browser has closed, or that end with the server, are of no use.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
    asyncio.run(hypercorn.asyncio.serve(own_pages_only(tags_of_proposals_only(app)), config))


def tags_of_proposals_only(app: Any) -> Any:
    """`app`, whose tag menus count and tag proposals alone, whatever else is drawn.

    FiftyOne's page asks for all label fields that it draws, so what humans labelled would be counted and tagged, too.
    """

    async def narrowed(scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http" or scope["path"] not in ("/tag", "/tagging"):
            await app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        with contextlib.suppress(ValueError):  # FiftyOne refuses what is no JSON itself
            asked = json.loads(body)
            if isinstance(asked, dict) and asked.get("target_labels"):
                body = json.dumps({**asked, "label_fields": [PROPOSALS]}).encode()
        whole = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> MutableMapping[str, Any]:
            return next(whole, None) or await receive()

        await app(scope, replay, send)

    return narrowed


def own_pages_only(app: Any) -> Any:
    """`app`, with checks of the host and the origin of requests, and a policy against requests to other machines.

    Without the first any web page that the reviewer has open could read and change the review.
    """

    async def guarded(scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get("origin")
        host = headers.get("host", "")
        # Whatever the port: at the other end of an ssh tunnel it may be another one.
        own = host.partition(":")[0] in (ADDRESS, "localhost")
        if not own or origin not in (None, f"http://{host}"):
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"This review answers its own page only."})
            return

        async def with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"content-security-policy", POLICY.encode())]
            await send(message)

        await app(scope, receive, with_policy)

    return guarded
