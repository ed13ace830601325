"""What a visitor may not: read files, ask for too much, reach the page under another name."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from poseunion.app.demo.guard.hosts import headers
from poseunion.app.demo.guard.limits import FORM_BYTES, MOST_CLIENTS, LimitCheck, Limits

SECRET = "the-secret-of-this-machine"
PATIENCE_S = 300  # for an answer on a busy machine; a quiet one needs a fraction of a second


@pytest.fixture(scope="module")
def page(serve_page: Callable[..., str]) -> str:
    return serve_page(None, Limits(upload_bytes=200_000, per_minute=100_000))


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the system's temporary folder, which Gradio treats with indulgence."""
    path = tmp_path_factory.mktemp("secret") / "secret.txt"
    path.write_text(SECRET)
    return path


def ask(page: str, path: str) -> httpx.Response:
    """GET a path as it is written: httpx would tidy `..` away."""
    request = httpx.Request("GET", page)
    request.url = request.url.copy_with(raw_path=path.encode())
    with httpx.Client(timeout=PATIENCE_S) as client:
        return client.send(request)


def get(url: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """GET with patience: httpx alone gives up after five seconds."""
    return httpx.get(url, headers=headers, timeout=PATIENCE_S)


@pytest.mark.parametrize(
    "trick",
    [
        "/gradio_api/file={path}",
        "/gradio_api/file=/{path}",
        "/gradio_api/file=./{path}",
        "/gradio_api/file=../../../../../../../..{path}",
        "/gradio_api/file={quoted}",
        "/gradio_api/file=%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e{quoted}",
        "/gradio_api/file=..%5c..%5c..{path}",
        "/gradio_api/file=file://{path}",
        "/gradio_api/file/{path}",
        "/file={path}",
        "/static/../../../../../../../..{path}",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e{quoted}",
        "/assets/..%2f..%2f..%2f..%2f..%2f..{quoted}",
        "/svelte/../../../../../..{path}",
        "/theme.css/../../..{path}",
        "/gradio_api/custom_component/x/client/component/..%2f..%2f..{quoted}",
        "/gradio_api/proxy=file://{path}",
        "/gradio_api/stream/x/1/2/playlist-file?path={path}",
        "/custom_component/{path}",
    ],
)
def test_no_path_leads_out_of_the_page(trick: str, page: str, secret: Path) -> None:
    answer = ask(page, trick.format(path=secret, quoted=quote(str(secret), safe="")))
    assert SECRET not in answer.text
    assert answer.status_code >= 400


def test_other_servers_are_not_asked(page: str) -> None:
    for trick in ("/gradio_api/file=http://192.0.2.1/x", "/gradio_api/proxy=http://192.0.2.1/x"):
        answer = ask(page, trick)
        assert answer.status_code >= 400
        assert "192.0.2.1" not in answer.headers.get("location", "")


def call(page: str, function: dict[str, Any], data: list[Any]) -> dict[str, Any]:
    """Ask a handler as the page does, and give what the queue answers at the end."""
    session = uuid.uuid4().hex
    with httpx.Client(base_url=page, timeout=PATIENCE_S) as client:
        body = {"data": data, "fn_index": function["id"], "session_hash": session}
        joined = client.post("/gradio_api/queue/join", json=body)
        if joined.status_code != 200:
            return {"refused": joined.text}
        with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
            for line in stream.iter_lines():
                message: dict[str, Any] = json.loads(line[5:]) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    return message
    return {}


def handlers(page: str) -> dict[str, dict[str, Any]]:
    """(element, event) of each handler, as `element.event`."""
    config = get(f"{page}config").json()
    name = {c["id"]: c["props"].get("elem_id") for c in config["components"]}
    return {f"{name.get(t[0])}.{t[1]}": d for d in config["dependencies"] for t in d["targets"]}


def file_data(path: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def test_an_upload_cannot_name_a_file_of_the_server(page: str, secret: Path) -> None:
    found = handlers(page)
    for path in (str(secret), f"file://{secret}", f"../../../../../..{secret}", "http://192.0.2.1/x.png"):
        for function, data in (
            (found["upload.input"], [file_data(path, orig_name="x.png"), "unified", "Full", "Union, 21", "COCO", 0.3]),
            (found["extend.click"], [file_data(path, orig_name="x.json"), [file_data(path, orig_name="x.png")]]),
        ):
            answer = call(page, function, data)
            assert answer["success"] is False  # refused by Gradio, before any handler sees it
            assert SECRET not in json.dumps(answer)


def test_annotations_cannot_name_a_picture_of_the_server(page: str, photo: bytes, tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(photo)
    document = {
        "images": [{"id": 1, "file_name": str(tmp_path / "outside.png"), "width": 512, "height": 512}],
        "annotations": [],
        "categories": [{"id": 1, "name": "person", "keypoints": ["nose", "left_eye", "right_eye"], "skeleton": []}],
    }
    from poseunion.annotate.formats.skeleton_match import skeleton_of_names
    from poseunion.app.demo.extend_upload import extend_uploads
    from poseunion.models import load_predictor, load_skeleton
    from poseunion.models.errors import PoseUnionError
    from poseunion.models.zoo import shipped_models

    names = list(load_skeleton("coco17").keypoints)
    assert skeleton_of_names(names)
    document["categories"][0]["keypoints"] = names
    file, given = tmp_path / "a.json", tmp_path / "given" / "outside.png"
    file.write_text(json.dumps(document))
    given.parent.mkdir()
    given.write_bytes(photo)
    with pytest.raises(PoseUnionError, match="outside its folder"):
        extend_uploads(file, [given], load_predictor(shipped_models()[0], threads=1))


def test_uploads_over_the_limit_are_refused(page: str) -> None:
    for size, status in ((150_000, 200), (400_000, 413)):
        answer = httpx.post(f"{page}gradio_api/upload", files={"files": ("a.png", b"x" * size)}, timeout=PATIENCE_S)
        assert answer.status_code == status


def test_the_page_is_not_served_under_another_name(page: str) -> None:
    assert get(page, headers={"host": "evil.example"}).status_code == 400
    assert get(page).status_code == 200


def test_every_answer_carries_the_headers(page: str) -> None:
    for path in ("", "config", "gradio_api/file=/etc/passwd"):
        answer = get(page + path)
        for name, value in headers():
            assert answer.headers[name.decode()] == value.decode()


def test_gradio_tells_its_makers_nothing(page: str) -> None:
    import os

    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    html = get(page).text
    assert "fonts.googleapis.com" not in html
    assert "disabled" in get(f"{page}monitoring").text or get(f"{page}monitoring").status_code >= 400


class Inner:
    """An application that reads its request and says yes."""

    def __init__(self) -> None:
        self.read = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.read += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"yes"})


def post(
    limit_check: LimitCheck, body: bytes = b"", address: str = "10.0.0.1", length: str | None = None, pieces: int = 1
) -> int:
    """Status of a POST; 0 where the server hung up."""
    statuses: list[int] = []
    size = max(1, len(body) // pieces)
    parts = [body[i : i + size] for i in range(0, len(body), size)] or [b""]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [] if length is None else [(b"content-length", length.encode())]
    scope = {"type": "http", "method": "POST", "headers": headers, "client": (address, 1)}
    asyncio.run(limit_check(scope, receive, send))
    return statuses[0] if statuses else 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the rate limit takes for the time: it stands still until a test moves `now`."""
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr("poseunion.app.demo.guard.limits.time", clock)
    return clock


def test_too_often_is_refused_for_one_address_and_not_for_others(clock: SimpleNamespace) -> None:
    limit_check = LimitCheck(Inner(), Limits(per_minute=20))
    statuses = [post(limit_check) for _ in range(15)]
    assert statuses == [200] * 10 + [429] * 5
    assert post(limit_check, address="10.0.0.2") == 200


def test_the_rate_comes_back_with_time(clock: SimpleNamespace) -> None:
    limit_check = LimitCheck(Inner(), Limits(per_minute=60))
    while post(limit_check) == 200:
        pass
    clock.now += 2.0
    assert [post(limit_check) for _ in range(3)] == [200, 200, 429]


def test_many_addresses_cost_a_fixed_amount_of_memory() -> None:
    limit_check = LimitCheck(Inner(), Limits())
    for number in range(MOST_CLIENTS + 50):
        limit_check._allowed(str(number), 0.0)
    assert len(limit_check._buckets) == MOST_CLIENTS


@pytest.mark.parametrize(("length", "status"), [("10", 200), ("99999999", 413), ("-1", 413), ("x", 413)])
def test_a_stated_length_is_checked_before_anything_is_read(length: str, status: int) -> None:
    inner = Inner()
    assert post(LimitCheck(inner, Limits(upload_bytes=1000)), b"0123456789", length=length) == status
    assert inner.read == (10 if status == 200 else 0)


def test_a_body_longer_than_it_says_is_cut_off() -> None:
    inner = Inner()
    assert post(LimitCheck(inner, Limits(upload_bytes=1000)), b"x" * (FORM_BYTES * 3), pieces=30) == 0
    assert inner.read <= FORM_BYTES + 1000
