"""Names, other sites, proxies and frames: what the page answers to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poseunion.app.demo.guard.hosts import HostCheck
from poseunion.app.demo.guard.quota import LEAST_BYTES, Quota, client_of
from poseunion.app.demo.guard.upload_folder import PREFIX
from poseunion.app.demo.guard.uploads import MOST_GIVEN_UP, checked_upload, within
from poseunion.models.errors import ItemError

PATIENCE_S = 300


@pytest.fixture(scope="module")
def page(serve_page: Callable[..., str]) -> str:
    return serve_page(None)


def ask(
    hosts: HostCheck, method: str = "POST", client: str = "192.0.2.1", **headers: str
) -> tuple[int, dict[str, Any]]:
    """Status, and the scope that the application behind the hosts has seen."""
    seen: dict[str, Any] = {}
    statuses: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    hosts.app = app
    pairs = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    scope = {"type": "http", "method": method, "headers": pairs, "client": (client, 1), "scheme": "http"}
    asyncio.run(hosts(scope, None, send))
    return statuses[0], seen


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:7860", 200),
        ("LOCALHOST", 200),
        ("[::1]:7860", 200),
        ("127.0.0.1", 200),
        ("a.pose.example", 200),
        ("pose.example", 400),
        ("evil.example:7860", 400),
        ("localhost.evil.example", 400),
        ("localhost@evil.example", 400),
        ("localhost:x", 400),
        ("localhost/evil", 400),
        ("[::1", 400),
        ("", 400),
    ],
)
def test_the_page_has_only_its_own_names(host: str, status: int) -> None:
    hosts = HostCheck(None, ["localhost", "127.0.0.1", "::1", "*.pose.example"])
    assert ask(hosts, "GET", host=host)[0] == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # no browser
        ({"origin": "http://localhost:7860"}, 200),
        ({"origin": "http://localhost:7860", "sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"origin": "http://localhost:8000"}, 403),
        ({"origin": "http://127.0.0.1:7860"}, 403),
        ({"origin": "http://evil.example:7860"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:x"}, 403),
        ({"x_forwarded_host": "evil.example", "origin": "http://evil.example"}, 403),
    ],
)
def test_other_sites_may_not_post(headers: dict[str, str], status: int) -> None:
    hosts = HostCheck(None, ["localhost", "127.0.0.1"])
    assert ask(hosts, host="localhost:7860", **headers)[0] == status
    assert ask(hosts, "GET", host="localhost:7860", **headers)[0] == 200


def test_only_a_trusted_proxy_says_who_the_client_is() -> None:
    hosts = HostCheck(None, ["pose.example"], ["10.0.0.0/8"])
    forwarded = {"x_forwarded_for": "198.51.100.9", "x_forwarded_host": "pose.example", "x_forwarded_proto": "https"}
    status, seen = ask(hosts, client="10.0.0.1", host="inner", origin="https://pose.example", **forwarded)
    assert (status, seen["client"][0]) == (200, "198.51.100.9")
    status, seen = ask(hosts, client="192.0.2.1", host="pose.example", **forwarded)
    assert (status, seen["client"][0]) == (200, "192.0.2.1")
    assert not [name for name, _ in seen["headers"] if name.startswith(b"x-forwarded")]


def test_decisions_of_another_site_are_not_taken(page: str) -> None:
    """The real server: every kind of POST, under another name and from another site; no CORS, no frames."""
    for path in ("gradio_api/queue/join", "gradio_api/upload", "gradio_api/run/pose", "gradio_api/call/pose"):
        for headers, status in (
            ({"host": "evil.example:7860", "origin": "http://evil.example:7860"}, 400),
            ({"origin": "http://evil.example"}, 403),
            ({"sec-fetch-site": "cross-site"}, 403),
        ):
            assert httpx.post(page + path, json={}, headers=headers, timeout=PATIENCE_S).status_code == status
    for method in ("GET", "OPTIONS"):
        ask_for = {"origin": "http://evil.example", "access-control-request-method": "POST"}
        answer = httpx.request(method, page, headers=ask_for, timeout=PATIENCE_S)
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_a_client_cannot_choose_his_address(serve_page: Callable[..., str]) -> None:
    from poseunion.app.demo.guard.limits import Limits

    address = serve_page(None, Limits(upload_bytes=100_000, client_bytes=3 * LEAST_BYTES, total_bytes=10 * LEAST_BYTES))
    statuses = [
        httpx.post(
            f"{address}gradio_api/upload",
            files={"files": ("a.png", b"x")},
            headers={"x-forwarded-for": f"198.51.100.{n}"},
            timeout=PATIENCE_S,
        ).status_code
        for n in range(5)
    ]
    assert statuses == [200, 200, 200, 507, 507]


@given(takes=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 300_000), st.floats(0, 30)), max_size=60))
def test_the_quota_is_never_exceeded(takes: list[tuple[str, int, float]]) -> None:
    quota = Quota(of_client=600_000, of_all=1_000_000, kept_s=100)
    now, kept = 0.0, []
    for client, size, later in takes:
        now += later
        if quota.take(client, size, now):
            kept.append((now, client, size))
        lying = [(c, s) for t, c, s in kept if now - t <= 100]
        assert sum(s for _, s in lying) <= 1_000_000
        assert all(sum(s for c, s in lying if c == name) <= 600_000 for name in "abc")
    assert quota.take("new", 1, now + 101)


def test_neighbours_in_a_network_are_one_client() -> None:
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:1") != client_of("2001:db8:0:1::1")
    assert client_of("::ffff:192.0.2.1") == "192.0.2.1"


def test_only_uploads_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(uploads))
    (uploads / "a.png").write_bytes(b"x" * 10)
    (tmp_path / "secret.png").write_bytes(b"secret")
    (uploads / "link.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(uploads / "fifo.png")
    assert checked_upload(str(uploads / "a.png"), 10) == (uploads / "a.png").resolve()
    for path in (
        *("/dev/zero", "a\0b", "", "~", "http://192.0.2.1/x", str(tmp_path / "secret.png"), str(uploads)),
        *(str(uploads / name) for name in ("link.png", "fifo.png", "none.png", "../secret.png")),
    ):
        with pytest.raises(ItemError):
            checked_upload(path, 10)
    with pytest.raises(ItemError, match="more than"):
        checked_upload(str(uploads / "a.png"), 9)


@pytest.mark.parametrize("extra", [{}, {"meta": {}}, {"meta": {"_type": "x"}}, {"is_stream": True}, {"url": "x"}])
def test_a_payload_that_hides_what_it_is_reads_no_file(
    extra: dict[str, Any], page: str, photo: bytes, tmp_path: Path
) -> None:
    """Gradio checks paths only where `meta` says that it is a file."""
    outside, fifo = tmp_path / "outside.png", tmp_path / "fifo.png"
    outside.write_bytes(photo)
    os.mkfifo(fifo)
    for path in (outside, fifo, Path("/dev/zero")):
        payload = {"path": str(path), **extra}
        data = [payload, "unified", "Full", "Union, 21", "COCO", 0.3]
        session = uuid.uuid4().hex
        with httpx.Client(base_url=page, timeout=PATIENCE_S) as client:
            body = {"data": data, "fn_index": 0, "session_hash": session}
            assert client.post("/gradio_api/queue/join", json=body).status_code == 200
            with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
                (done,) = [json.loads(line[5:]) for line in stream.iter_lines() if "process_completed" in line]
        output = done["output"].get("data")
        assert output is None or (not output[1]["picture"] and output[1]["error"])


def test_work_that_takes_too_long_is_given_up() -> None:
    stuck = threading.Event()
    assert within(PATIENCE_S, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(PATIENCE_S, lambda: 1 // 0)
    try:
        for _ in range(MOST_GIVEN_UP):
            with pytest.raises(ItemError, match="too long"):
                within(0.01, stuck.wait)
        with pytest.raises(ItemError, match="busy"):  # no more threads than that
            within(PATIENCE_S, lambda: 3)
    finally:
        stuck.set()
    while True:  # the stuck ones end, and work goes on
        try:
            assert within(PATIENCE_S, lambda: 3) == 3
            break
        except ItemError:
            continue


SCRIPT = """
import time
from poseunion.app.demo.guard.upload_folder import upload_folder
with upload_folder() as folder:
    (folder / "upload").write_text("x")
    print(folder, flush=True)
    time.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_uploads_go_with_the_page(number: signal.Signals, tmp_path: Path) -> None:
    def start() -> tuple[subprocess.Popen[str], Path]:
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        started = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, env=environment)
        assert started.stdout is not None
        return started, Path(started.stdout.readline().strip())

    first, folder = start()
    other, kept = start()
    assert folder.name.startswith(PREFIX)
    assert folder.exists()  # the second page leaves what a running one uses
    first.send_signal(number)
    first.wait(PATIENCE_S)
    assert folder.exists() == (number == signal.SIGKILL)
    third, _ = start()
    assert not folder.exists()
    assert kept.exists()
    for process in (other, third):
        process.terminate()
        process.wait(PATIENCE_S)
    assert not list(tmp_path.iterdir())
