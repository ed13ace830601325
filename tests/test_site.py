"""The docs as a site, in a browser: every page in both colour schemes, checked by axe."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SITE = Path(__file__).parents[1] / "site"


class Quiet(SimpleHTTPRequestHandler):
    """A folder's files, without a log."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    if not (SITE / "index.html").is_file():
        pytest.skip("no site: make docs builds it")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(scheme: Any, address: str, chromium: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = chromium.new_context(color_scheme=scheme).new_page()
    page.set_default_timeout(300_000)
    found: dict[str, list[str]] = {}  # violation -> where
    pages = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
    for name in pages:
        page.goto(f"{address}/{name}")
        for violation in axe.run(page).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                for node in violation["nodes"]:
                    found.setdefault(violation["id"], []).append(f"{name}: {node['html'][:160]}")
    page.context.close()
    assert pages
    assert not found, {rule: (len(nodes), nodes[:5]) for rule, nodes in found.items()}
