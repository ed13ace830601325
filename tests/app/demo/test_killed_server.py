"""The review's server dies at once (SIGKILL) after an answer: every decision that was answered is in the file."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from poseunion.annotate.example import example_dataset
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.app.demo.guard.saver import fold
from poseunion.models import load_predictor
from poseunion.models.zoo import shipped_models

PATIENCE_S = 120.0
REVIEWER = "rev"


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@contextlib.contextmanager
def served(file: Path, images: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    port = free_port()
    command = [sys.executable, "-m", "poseunion.app.cli", "demo", "--port", str(port), "--model", shipped_models()[0]]
    command += ["--review", str(file), "--images", str(images)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # Each request has its own connection: a busy machine lets the server close a kept one just as it is used again.
        limits = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, limits=limits) as client:
            end = time.monotonic() + PATIENCE_S
            while time.monotonic() < end:
                with contextlib.suppress(httpx.TransportError):
                    if client.get("/config").status_code == 200:
                        break
                assert process.poll() is None, "the server has ended"
                time.sleep(0.1)
            yield process, client
    finally:
        process.kill()
        process.wait()


def function_of(config: dict[str, Any], name: str, event: str) -> int:
    component = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == name)
    return next(d["id"] for d in config["dependencies"] if [component, event] in [list(t) for t in d["targets"]])


def act(client: httpx.Client, function: int, action: dict[str, Any]) -> dict[str, Any]:
    """The content that the page's handler answers an action with."""
    event = {"actions": [action]}
    body = {"data": [None, REVIEWER, False], "event_data": event, "fn_index": function, "session_hash": "one"}
    client.post("/gradio_api/queue/join", json=body).raise_for_status()
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": "one"}) as stream:
        for line in stream.iter_lines():
            message = json.loads(line[5:]) if line.startswith("data:") else {}
            if message.get("msg") == "process_completed":
                assert message["success"], message["output"]
                content: dict[str, Any] = next(v for v in message["output"]["data"] if isinstance(v, dict))
                return content
    raise AssertionError("the server hung up")


@pytest.mark.slow
@pytest.mark.parametrize("answers", [1, 4])
def test_what_was_answered_is_in_the_file(answers: int, tmp_path: Path) -> None:
    labels, images = example_dataset(tmp_path / "images")
    file = tmp_path / "extended.json"
    extend(read_annotations(labels), images, load_predictor(shipped_models()[0], threads=1), file, Options())
    former = json.loads(file.read_text())["annotations"]
    with served(file, images) as (process, client):
        config = client.get("/config").json()
        function = function_of(config, "review-outbox", "act")
        content = act(client, function, {"what": "file", "index": 0})
        for _ in range(answers):
            content = act(client, function, {"what": "key", "key": "a", "seen": content["seen"]})
            assert not content["error"]
        process.send_signal(signal.SIGKILL)
        process.wait()
    fold(file)  # what opening it for review does
    people = json.loads(file.read_text())["annotations"]
    entries = [entry for person in people for entry in person.get("review") or []]
    assert len(entries) == answers
    assert {(entry["reviewer"], entry["decision"]) for entry in entries} == {(REVIEWER, "accept")}
    for person, before in zip(people, former, strict=True):
        assert {**person, "review": None} == {**before, "review": None}
