"""The picture of docs/integrations/label-studio.md: a person of the bundled example in Label Studio's editor.

.venv/bin/python docs/label_studio_screen.py LABEL-STUDIO   # writes docs/integrations/label-studio.webp; needs Chromium

LABEL-STUDIO: the program of an environment of its own (pip install label-studio==1.23.2). The page's steps are taken:
export, server with local files, project with the interface, storage, import.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from poseunion.annotate.example import example_dataset

OUT = Path(__file__).resolve().parent / "integrations" / "label-studio.webp"
PICTURE = "astronaut.png"
PATIENCE_MS = 600_000
TASKS_PX = 240  # width of the list of tasks
WIDTH_PX = 900
ANNOTATE = (sys.executable, "-m", "poseunion.annotate.cli.main")
WHO = {"email": "ann@example.org", "password": "only-for-this-picture"}


def exported(root: Path) -> Path:
    """The example, extended and exported as tasks; its pictures are in `root`/train."""
    _, images = example_dataset(root / "train")
    extended, tasks = root / "extended.json", root / "tasks.json"
    for words in (
        ("extend", "--dataset", "example", "--out", str(extended)),
        ("label-studio-export", str(extended), "--images", str(images), "--out", str(tasks)),
    ):
        subprocess.run([*ANNOTATE, *words], check=True, stdout=subprocess.DEVNULL)
    return tasks


def serve(program: str, root: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Label Studio with a database of its own, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(root),
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
    }
    words = ["start", "--no-browser", "--port", str(port), "--data-dir", str(root / "server")]
    words += ["--username", WHO["email"], "--password", WHO["password"]]
    log = (root / "server.log").open("wb")
    server = subprocess.Popen([program, *words], env={**os.environ, **settings}, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    while True:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=PATIENCE_MS)
        except urllib.error.URLError:
            if server.poll() is not None:
                raise SystemExit((root / "server.log").read_text(encoding="utf-8")) from None
            time.sleep(1)
        else:
            return server, address


def prepare(page: Any, address: str, tasks: Path, images: Path) -> str:
    """Sign in, make the project as the page says, and return the address of the picture's task."""
    page.goto(f"{address}/user/login/")
    page.fill("input[name=email]", WHO["email"])
    page.fill("input[name=password]", WHO["password"])
    page.click("button[type=submit]")
    page.wait_for_url(lambda url: "login" not in url)

    def post(path: str, content: Any) -> Any:
        token = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")
        headers = {"X-CSRFToken": token, "Referer": address}
        answer = page.request.post(address + path, data=content, headers=headers, timeout=PATIENCE_MS)
        assert answer.ok, f"{path}: {answer.status} {answer.text()}"
        return answer.json()

    interface = tasks.with_name(f"{tasks.stem}.interface.xml").read_text(encoding="utf-8")
    project = post("/api/projects", {"title": "Review", "label_config": interface})["id"]
    post("/api/storages/localfiles", {"project": project, "path": str(images), "use_blob_urls": True})
    content = json.loads(tasks.read_text(encoding="utf-8"))
    content = [task for task in content if PICTURE in json.dumps(task["data"])]
    post(f"/api/projects/{project}/import", content)
    found = page.request.get(f"{address}/api/tasks?project={project}", timeout=PATIENCE_MS).json()
    return f"{address}/projects/{project}/data?task={found['tasks'][0]['id']}"


def visit(browser: Any, address: str, tasks: Path, images: Path) -> None:
    """The prediction of one picture, a proposal selected and accepted; the list of tasks on the left is cut off."""
    page = browser.new_page(viewport={"width": 1280, "height": 1240})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(prepare(page, address, tasks, images))
    page.locator("canvas").first.wait_for()
    page.locator(".lsf-tabs-panel").get_by_text("nose", exact=True).last.click()
    page.locator("label", has_text="accept").first.click()
    page.locator("label", has_text="accept").first.locator("input:checked").wait_for()
    page.keyboard.press("Shift+1")  # the whole picture
    page.wait_for_timeout(3000)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture = picture.crop((TASKS_PX, 0, *picture.size))
    size = WIDTH_PX, round(picture.height * WIDTH_PX / picture.width)
    picture.resize(size, Image.Resampling.LANCZOS).save(OUT, quality=80, method=6)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tasks = exported(root)
        server, address = serve(sys.argv[1], root)
        try:
            with sync_playwright() as play:
                path = shutil.which("chromium") or play.chromium.executable_path
                flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
                browser = play.chromium.launch(executable_path=path, args=flags, timeout=PATIENCE_MS)
                visit(browser, address, tasks, root / "train")
                browser.close()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
