"""How soon does `poseunion demo` answer, and does it keep 50 visitors at once?

    .venv/bin/python benchmarks/runtime/demo_load.py                       # Markdown note
    .venv/bin/python benchmarks/runtime/demo_load.py --json --clients 50   # one JSON object, as the tests read it

Starts the command itself, with nothing of it loaded before, and speaks to it over HTTP as the page does. The picture
shows three people: the bundled example's three pictures side by side. Memory is the server's resident set.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from demo_hostile import siege, siege_note
from PIL import Image

from poseunion.app.demo.examples import examples
from poseunion.export.timing import commit, machine

HEIGHT_PX = 600
PATIENCE_S = 300.0
LATER = 20  # pictures after the first one


def three_people() -> tuple[bytes, list[list[float]]]:
    """The three examples side by side as JPEG, and the box of each person."""
    tiles, boxes, left = [], [], 0
    for one in examples():
        image = Image.fromarray(one.picture.pixels())
        scale = HEIGHT_PX / image.height
        tiles.append(np.asarray(image.resize((round(image.width * scale), HEIGHT_PX))))
        x, y, w, h = one.boxes[0]
        boxes.append([left + x * scale, y * scale, w * scale, h * scale])
        left += tiles[-1].shape[1]
    buffer = io.BytesIO()
    Image.fromarray(np.hstack(tiles)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue(), boxes


def free_port() -> int:
    """A port on which nothing listens: measurements beside each other must not answer for each other."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@contextlib.contextmanager
def running(port: int, arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The command, until the block ends."""
    command = [sys.executable, "-m", "poseunion.app.cli", "demo", "--port", str(port), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def resident_mb(pid: int) -> float:
    """Resident memory of a process, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no VmRSS")


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has taken, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Visitor:
    """One visitor's session."""

    client: httpx.AsyncClient
    functions: dict[str, dict[str, Any]]
    session: str = field(default_factory=lambda: uuid.uuid4().hex)

    async def upload(self, content: bytes) -> dict[str, Any]:
        """Send a picture and wait for its people."""
        # Every visitor's picture is his own; what follows a JPEG's end is not looked at.
        content += self.session.encode()
        answer = await self.client.post("/gradio_api/upload", files={"files": ("three.jpg", content, "image/jpeg")})
        answer.raise_for_status()
        file = {"path": answer.json()[0], "orig_name": "three.jpg", "meta": {"_type": "gradio.FileData"}}
        return await self.call("upload", [file, *self.settings("upload")[1:]])

    async def boxes(self, boxes: list[list[float]]) -> dict[str, Any]:
        """Draw these boxes and wait for their people."""
        return await self.call("boxes", self.settings("boxes"), {"boxes": boxes, "number": 1})

    def settings(self, name: str) -> list[Any]:
        """The values that the page's components have at the start."""
        return [self.functions[name]["values"].get(i) for i in self.functions[name]["inputs"]]

    async def call(self, name: str, data: list[Any], event: Any = None) -> dict[str, Any]:
        """Join the queue, wait, and return the content."""
        function = self.functions[name]
        body = {"data": data, "event_data": event, "fn_index": function["id"], "session_hash": self.session}
        joined = await self.client.post("/gradio_api/queue/join", json=body)
        joined.raise_for_status()
        mine = joined.json()["event_id"]
        async with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            async for line in stream.aiter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed" and message.get("event_id") == mine:
                    if not message["success"]:
                        raise RuntimeError(str(message["output"]))
                    return next(v for v in message["output"]["data"] if isinstance(v, dict) and "status" in v)
        raise RuntimeError("the server hung up")


def functions_of(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The page's `upload` and `boxes` handlers: number, inputs, and the values of all components."""
    values = {c["id"]: c["props"].get("value") for c in config["components"]}
    named = {c["props"].get("elem_id"): c["id"] for c in config["components"]}
    found = {}
    for name, component, event in (("upload", "upload", "input"), ("boxes", "result", "boxes")):
        dependency = next(
            d for d in config["dependencies"] if [named[component], event] in [list(t) for t in d["targets"]]
        )
        found[name] = {"id": dependency["id"], "inputs": dependency["inputs"], "values": values}
    return found


async def besiege(
    process: subprocess.Popen[bytes], port: int, clients: int, minutes: float, share: float
) -> dict[str, Any]:
    """`demo_hostile.siege` of a server that has begun to answer."""
    content, _ = three_people()
    # The server closes connections that were idle for seconds, and a browser then asks again on another: none is kept.
    limits = httpx.Limits(max_connections=2 * clients + 4, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, limits=limits) as client:
        await answering(client, process)
        functions = functions_of((await client.get("/config")).json())
        visitors = [Visitor(client, functions) for _ in range(clients)]
        await visitors[0].upload(content)  # the first request loads what the later ones find loaded
        return await siege(visitors, content, minutes, share, lambda: resident_mb(process.pid))


async def answering(client: httpx.AsyncClient, process: subprocess.Popen[bytes]) -> None:
    """Wait until the page is there."""
    while True:
        with contextlib.suppress(httpx.TransportError):
            if (await client.get("/config")).status_code == 200:
                return
        if process.poll() is not None:
            raise RuntimeError(f"poseunion demo ended with {process.returncode}")
        await asyncio.sleep(0.05)


async def measure(
    process: subprocess.Popen[bytes], port: int, started: float, clients: int, rounds: int
) -> dict[str, Any]:
    """All measurements, in the order in which a day would bring them."""
    content, boxes = three_people()
    limits = httpx.Limits(max_connections=2 * clients + 4)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, limits=limits) as client:
        await answering(client, process)
        up = time.perf_counter() - started
        functions = functions_of((await client.get("/config")).json())
        visitor = Visitor(client, functions)
        first_scene = await visitor.upload(content)
        first = time.perf_counter() - started
        cpu = [cpu_s(process.pid)]
        drawn, later = [], []
        for _ in range(LATER):
            before = time.perf_counter()
            found = await visitor.boxes(boxes)
            drawn.append((time.perf_counter() - before) * 1000)
            assert found["status"].startswith("3 people"), found["status"]
            before = time.perf_counter()
            await visitor.upload(content)
            later.append((time.perf_counter() - before) * 1000)
        cpu.append(cpu_s(process.pid))
        lost: list[str] = []
        memory, answered, seconds = [resident_mb(process.pid)], 0, []
        for _ in range(rounds):
            crowd = [Visitor(client, functions) for _ in range(clients)]
            before = time.perf_counter()
            scenes = await asyncio.gather(*(v.upload(content) for v in crowd), return_exceptions=True)
            seconds.append(time.perf_counter() - before)
            failed = [
                s["status"] if isinstance(s, dict) else repr(s) for s in scenes if not isinstance(s, dict) or s["error"]
            ]
            answered, lost = answered + len(scenes) - len(failed), [*lost, *failed]
            memory.append(resident_mb(process.pid))
    return {
        "up_s": up,
        "first_s": first,
        "first_cpu_s": cpu[0],
        "later_cpu_ms": (cpu[1] - cpu[0]) * 1000 / (2 * LATER),
        "first_said": first_scene["status"],
        "three_boxes_ms": drawn,
        "upload_ms": later,
        "clients": clients,
        "rounds": rounds,
        "answered": answered,
        "lost": lost,
        "round_s": seconds,
        "memory_mb": memory,
    }


def note(found: dict[str, Any], command: list[str]) -> str:
    """The measurements as a Markdown note."""

    def spread(values: list[float]) -> str:
        return f"{statistics.median(values):.0f} ({min(values):.0f} … {max(values):.0f})"

    asked = found["clients"] * found["rounds"]
    rows = [
        ("command → page answers", f"{found['up_s']:.1f} s"),
        ("command → first result", f"{found['first_s']:.1f} s, {found['first_cpu_s']:.1f} s of CPU"),
        (f"later: upload of three people, {LATER} times", f"{spread(found['upload_ms'])} ms"),
        (f"later: three boxes drawn, {LATER} times", f"{spread(found['three_boxes_ms'])} ms"),
        ("CPU time of one of these", f"{found['later_cpu_ms']:.0f} ms"),
        (f"{found['clients']} visitors at once, {found['rounds']} times: answered", f"{found['answered']} of {asked}"),
        ("until the last of them has an answer", f"{spread(found['round_s'])} s"),
        ("memory before, and after each time", ", ".join(f"{m:.0f}" for m in found["memory_mb"]) + " MB"),
    ]
    table = "\n".join(f"| {what} | {value} |" for what, value in rows)
    return (
        f"# The demo's speed and load\n\n- date: {datetime.date.today()}\n- command: `{' '.join(command)}`\n"
        f"- machine: {machine()}\n- commit: {commit()}\n- first answer: {found['first_said']}\n\n"
        f"| | median (least … most) |\n|---|---|\n{table}\n" + "".join(f"\nLost: {why}\n" for why in found["lost"])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--minutes", type=float, help="instead of rounds: visitors who ask for so long")
    parser.add_argument("--hostile", type=float, default=0.05, help="with --minutes: share of hostile requests")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--detector", help="handed to poseunion demo")
    given = parser.parse_args()
    more = ["--detector", given.detector] if given.detector else []
    port, where = free_port(), machine()
    started = time.perf_counter()
    # All visitors come from one address here.
    with running(port, ["--rate", "100000", *more]) as process:
        if given.minutes is not None:
            found = asyncio.run(besiege(process, port, given.clients, given.minutes, given.hostile))
        else:
            found = asyncio.run(measure(process, port, started, given.clients, given.rounds))
    if given.minutes is not None:
        print(siege_note(found, given.clients, given.minutes, where))
    elif given.json:
        json.dump(found, sys.stdout)
    else:
        print(note(found, ["python", "benchmarks/runtime/demo_load.py", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
