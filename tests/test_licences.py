"""Third-party weights: public networks stay outside, and a derived network names its start."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from poseunion.models.files import read_toml, sha256_of
from poseunion.models.runtime.onnx import OnnxModel

ROOT = Path(__file__).resolve().parents[1]
NOTICE = (ROOT / "NOTICE").read_text(encoding="utf-8")
LITE_HRNET = "ca3d0379d1aae07510ef371cac3d12bdfbe8a9aeb9fa1af4cfcf5825e0364526"
# Networks that were teachers, starts or peers. mmpose's file names hold the first eight digits.
PUBLIC = {
    LITE_HRNET: "tinypose-256x192.onnx",
    "70fad87fa3004edcae4d628bcb0c6be1ba8b0f93991097b42cf8da6fe8c1968b": "tinypose_256x192.bin, of which it was made",
    "4cf53c142239089b6c26bac359fc1ae69ced7e189292131fe52e41cbd2372d68": "tinypose-2022-256x192.onnx",
    "6d0d9f3b019fe35d5ad689486e546c7557bbd4ea0027f222fda65732036cc394": "movenet-lightning.onnx",
    "7e7c18e6a1f4c059bf79130d642c38371e35577a5468b27a8de04d122ab8a6b8": "movenet-thunder.onnx",
    "e0050e2715b868c69c82b7eff3bd73e9a3170af1536100c551c3f4787cc76a8e": "efficientpose-ii.onnx",
    "55fc0200169df639f1f742f940a8c0d6033b11f1cb9cec25be701d26222dc62b": "efficientpose-rt.onnx",
    "e3c765ccc379bb47e3d776d834a1acb85f7349855d99a30d1c1d4e4e58d8f2e8": "rtmdet-nano.onnx",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db": "efficientnet-lite0-57934424.pth",
    "63eb25f7": "rtmpose-m_simcc-aic-coco_pt-aic-coco_420e-256x192-63eb25f7_20230126.pth",
    "e48f03d0": "rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504.pth",
    "d8dd5ca4": "rtmpose-m_simcc-coco_pt-aic-coco_420e-256x192-d8dd5ca4_20230127.pth",
    "ec4dbec8": "rtmpose-m_simcc-mpii_pt-aic-coco_210e-256x256-ec4dbec8_20230206.pth",
}
CARDS = sorted([*ROOT.glob("models/weights/*.md"), *ROOT.glob("models/detectors/*.md")])
NETWORKS = [card for card in CARDS if card.stem != "prior"]  # the prior is no network
# What the card has to state of a network that began as the Lite-HRNet of PaddleDetection.
STATED = ("converted", "fine-tuned", "Apache-2.0", "PaddlePaddle Authors", "Lite-HRNet", "AI Challenger", "NOTICE")


def tracked() -> list[Path]:
    """The files of the repository; in a source archive without one, of its folders."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    rooms = ("models", "annotate", "training", "export", "app", "tests", "docs", "benchmarks")
    return [path for room in rooms for path in (ROOT / room).rglob("*") if path.is_file()]


def public_network(sha256: str) -> str | None:
    """The name of the public network with this checksum."""
    return next((name for known, name in PUBLIC.items() if sha256.startswith(known)), None)


def start_weights(card: str) -> str:
    """The card's row of that name and, where there is one, its row `origin`."""
    start, *origin = (
        text
        for row in ("start weights", "origin")
        for text in re.findall(rf"^\| {row} \| (.+) \|$", card, re.MULTILINE)
    )
    return "; ".join([start, *origin])


def test_public_networks_are_recognised() -> None:
    assert public_network(LITE_HRNET) == "tinypose-256x192.onnx"
    assert public_network("d8dd5ca4" + 56 * "0") is not None
    assert public_network(hashlib.sha256(b"something else").hexdigest()) is None


def test_no_public_network_is_tracked() -> None:
    files = tracked()
    assert ROOT / "README.md" in files or ROOT / "models" / "zoo.py" in files
    assert {path.relative_to(ROOT): name for path in files if (name := public_network(sha256_of(path)))} == {}


def test_the_notice_travels_with_every_wheel_and_image() -> None:
    assert {"LICENSE", "NOTICE"} <= set(read_toml(ROOT / "pyproject.toml")["project"]["license-files"])
    for file in ("app/Dockerfile", "docker/Dockerfile", "app/space/make.sh"):
        assert "LICENSE NOTICE" in (ROOT / file).read_text(encoding="utf-8"), file


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_a_card_names_what_its_network_began_from(path: Path) -> None:
    card = path.read_text(encoding="utf-8")
    start = start_weights(card)
    hashes = re.findall(r"\b[0-9a-f]{64}\b", start)
    cards = [path.parent / link for link in re.findall(r"\]\(([^)]+\.md)\)", start)]
    assert hashes or cards or start.startswith("none"), f"{path.name}: origin and sha256, another card, or `none`"
    assert all(other in NETWORKS for other in (card.resolve() for card in cards))
    for sha256 in hashes:
        assert sha256 in NOTICE, f"{path.name} began as {sha256}, which NOTICE does not name"
    if LITE_HRNET in hashes:
        assert [words for words in STATED if words not in card] == []
        described = OnnxModel(path.with_suffix(".onnx"), threads=1).description
        assert "tinypose" not in described.name.lower()
        assert "PaddlePaddle Authors" in described.licence
        assert LITE_HRNET[:12] in described.source


def test_the_notice_states_what_is_not_known() -> None:
    for words in ("Copyright (c) 2021 PaddlePaddle Authors", "no NOTICE file", "What is not known", "AI Challenger"):
        assert words in NOTICE
