"""Visitors of the demo for minutes on end, some of whose requests are hostile; see `demo_load.py --minutes`."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import os
import random
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from poseunion.export.timing import commit

Attack = Callable[[Any], Awaitable[Any]]
SAMPLE_S = 10.0  # between two looks at the server's memory
ENDS = ("refused", "answered", "unanswered")  # an error's status or sentence; anything else; a lost connection
SECRET = b"root:"  # what /etc/passwd holds and no answer may


def bomb() -> bytes:
    """A PNG whose header has 60,000 pixels a side."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def payload(path: str, **meta: Any) -> dict[str, Any]:
    """What Gradio's page sends for an uploaded file."""
    return {"path": path, "orig_name": "a.jpg", **meta}


def attacks(fifo: Path) -> dict[str, Attack]:
    """Name -> what a hostile visitor does; gives what came back."""

    def of_path(path: str, **meta: Any) -> Attack:
        return lambda v: v.call("upload", [payload(path, **meta), *v.settings("upload")[1:]])

    def post(url: str, **more: Any) -> Attack:
        return lambda v: v.client.post(url, **more)

    join, upload = "/gradio_api/queue/join", "/gradio_api/upload"
    evil = {"data": [], "fn_index": 10**6, "session_hash": "x"}
    typed = {"_type": "gradio.FileData"}
    return {
        "a file of the server as upload": of_path("/etc/passwd"),
        "the same, typed as Gradio's own": of_path("/etc/passwd", meta=typed),
        "a pipe as upload": of_path(str(fifo)),
        "a device as upload": of_path("/dev/zero"),
        "a file of the server by its address": lambda v: v.client.get("/gradio_api/file=/etc/passwd"),
        "another name of the host": lambda v: v.client.get("/config", headers={"host": "evil.example"}),
        "another site's page": post(join, json=evil, headers={"origin": "https://evil.example"}),
        "no JSON": post(join, content=b"{" * 10_000, headers={"content-type": "application/json"}),
        "a function that is not there": post(join, json=evil),
        "an upload beyond the limit": post(upload, files={"files": ("a.jpg", bytes(26_000_000), "image/jpeg")}),
        "a picture of 60,000 x 60,000": lambda v: v.upload(bomb()),
        "no picture": lambda v: v.upload(b"GIF89a" + bytes(100)),
    }


async def outcome(request: Awaitable[Any]) -> tuple[str, bytes]:
    """One of `ENDS`, and what came back."""
    try:
        came = await request
    except (httpx.HTTPStatusError, RuntimeError, KeyError) as error:
        return "refused", str(error).encode()
    except httpx.HTTPError:
        return "unanswered", b""
    if isinstance(came, httpx.Response):
        return "refused" if came.is_error else "answered", came.content
    return "refused" if came["error"] else "answered", str(came).encode()


async def siege(
    visitors: list[Any], content: bytes, minutes: float, share: float, memory: Callable[[], float]
) -> dict[str, Any]:
    """All visitors ask, each when the last one was answered, until the time is over."""
    end = time.monotonic() + 60 * minutes
    honest: Counter[str] = Counter()
    hostile: Counter[tuple[str, str]] = Counter()
    leaks: list[str] = []
    waited: list[float] = []
    held: list[float] = []

    async def visit(visitor: Any, rng: random.Random, known: Iterator[tuple[str, Attack]]) -> None:
        while time.monotonic() < end:
            if rng.random() < share:
                name, attack = next(known)
                end_of_it, content_of_it = await outcome(attack(visitor))
                hostile[name, end_of_it] += 1
                leaks.extend([name] if SECRET in content_of_it else [])
                continue
            began = time.monotonic()
            try:
                scene = await visitor.upload(content)
                honest["answered" if not scene["error"] else f"refused: {scene['status']}"] += 1
            except Exception as error:
                honest[f"lost: {error!r}"] += 1
            waited.append(time.monotonic() - began)

    async def watch() -> None:
        while time.monotonic() < end:
            held.append(memory())
            await asyncio.sleep(SAMPLE_S)

    with tempfile.TemporaryDirectory() as folder:
        fifo = Path(folder) / "fifo"
        os.mkfifo(fifo)
        known = itertools.cycle(attacks(fifo).items())  # in turn: a short siege tries each, too
        work = (visit(visitor, random.Random(i), known) for i, visitor in enumerate(visitors))
        await asyncio.gather(watch(), *work)
    held.append(memory())
    return {"honest": honest, "hostile": hostile, "leaks": leaks, "waited_s": sorted(waited), "memory_mb": held}


def siege_note(found: dict[str, Any], clients: int, minutes: float, where: str) -> str:
    """The measurements as a Markdown note."""
    honest, held, waited = found["honest"], found["memory_mb"], found["waited_s"]
    asked, third = sum(honest.values()), max(1, len(held) // 3)
    rows = [
        ("honest requests answered", f"{honest['answered']} of {asked}"),
        ("until an answer came: median, the slowest", f"{waited[len(waited) // 2]:.1f} s, {waited[-1]:.1f} s"),
        ("hostile requests", str(sum(found["hostile"].values()))),
        ("of them, answers that held a file of the server", str(len(found["leaks"]))),
        ("memory at the start", f"{held[0]:.0f} MB"),
        ("most in the first, second and last third", ", ".join(
            f"{max(held[i * third : (i + 1) * third] or held[-1:]):.0f}" for i in range(3)) + " MB"),
        ("memory in the end", f"{held[-1]:.0f} MB"),
    ]  # fmt: skip
    table = "\n".join(f"| {what} | {value} |" for what, value in rows)
    names = sorted({name for name, _ in found["hostile"]})
    kinds = "\n".join(f"| {name} | {' | '.join(str(found['hostile'][name, end]) for end in ENDS)} |" for name in names)
    lost = "".join(f"\n{count} times {why}\n" for why, count in honest.items() if why != "answered")
    return (
        f"# The demo under hostile requests\n\n- date: {datetime.date.today()}\n"
        f"- command: `{' '.join(['python', 'benchmarks/runtime/demo_load.py', *sys.argv[1:]])}`\n- machine: {where}\n"
        f"- commit: {commit()}\n\n{clients} visitors for {minutes:g} minutes, each asking anew when answered.\n\n"
        f"| | |\n|---|---|\n{table}\n{lost}\n| hostile | {' | '.join(ENDS)} |\n|---|--:|--:|--:|\n{kinds}\n"
    )
