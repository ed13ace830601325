"""Card of a release: contents, reliability of the proposals, use for training, licences."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.release.counts import WORDS, KeypointCount, wilson
from poseunion.annotate.release.integrity import Proof

BOUNDS = ("at_least", "at_most")
MEANING = {
    "human": "placed by a human of the original file",
    "derived": "the midpoint of two human points",
    "proposed": "a model's, not reviewed",
    "accepted": "a model's",
    "hidden": "the same, but the joint cannot be seen (v = 1)",
    "fixed": "a model's, put in its place by a reviewer, or a reviewer's own",
    "rejected": "no point: a reviewer rejected it, or it still needs a fix",
    "none": "no point: no proposal, or one that was not accepted",
}


@dataclass(frozen=True)
class Card:
    """Contents of the card.

    Attributes:
        files: path in the folder -> what it is.
        missing: pictures that are not in the folder of pictures.
        licence: of the annotations, as the releaser states it.
        quality: keypoint -> PCK@.2 in percent, from a report of `poseunion evaluate`; and what it was measured on.
    """

    name: str
    annotations: AnnotationSet
    counts: dict[str, KeypointCount]
    proof: Proof
    files: dict[str, str]
    plots: list[str]
    missing: list[str]
    licence: str = ""
    quality: dict[str, float] = field(default_factory=dict)
    quality_of: str = ""

    def markdown(self) -> str:
        """README.md of the release."""
        people = sum("keypoint_source" in r for r in self.annotations.records)
        lines = [
            f"# {self.name}",
            "",
            f"{people} people in {len(self.annotations.images)} pictures, {len(self.annotations.skeleton)} keypoints a "
            f"person. Made from `{self.proof.original}` by poseunion {self._block.get('version', '')}.",
            "",
            *_table(("file", "what"), [(f"`{path}`", what) for path, what in self.files.items()]),
            "The pictures are not included.",
            *([f"{len(self.missing)} of them were missing: {', '.join(self.missing[:5])}."] if self.missing else []),
            "",
            *self._points(),
            *self._humans(),
            *self._proposals(),
            *self._certificate(),
            *_USE,
            *self._licences(),
        ]
        return "\n".join(lines) + "\n"

    @property
    def _block(self) -> dict[str, Any]:
        return dict(self.annotations.source.document["poseunion"])

    def _points(self) -> list[str]:
        columns = [c for c in WORDS if any(getattr(row, c) for row in self.counts.values())]
        heading = ["keypoint", *(WORDS[c] for c in columns), "sum"]
        reviewed = any(row.reviewed for row in self.counts.values())
        heading += ["right of reviewed", "95 %", "moved, px"] if reviewed else []
        heading += ["PCK@.2"] if self.quality else []
        rows = []
        for name, row in self.counts.items():
            cells = [name, *(str(n) for n in _with_sum([getattr(row, c) for c in columns]))]
            if reviewed:
                low_high = wilson(row.right, row.reviewed)
                cells += [f"{row.right} / {row.reviewed}" if row.reviewed else ""]
                cells += ["" if low_high is None else f"{low_high[0]:.2f}–{low_high[1]:.2f}"]
                cells += ["" if row.moved_px is None else f"{row.moved_px:g}"]
            if self.quality:
                cells += [f"{self.quality[name]:.1f}" if name in self.quality else ""]
            rows.append(tuple(cells))
        summed = _with_sum([sum(getattr(row, c) for row in self.counts.values()) for c in columns])
        rows.append(("**sum**", *map(str, summed), *[""] * (len(heading) - len(summed) - 1)))
        lines = ["## Points", "", *_table(tuple(heading), rows)]
        lines += [f"- **{WORDS[column]}**: {MEANING[column]}" for column in columns]
        if reviewed:
            lines += [
                "",
                "*Right of reviewed*: proposals that a reviewer accepted where they were. Reviewers look at doubtful "
                "proposals first, so this is a lower estimate for all of them, unless they were drawn by lot. "
                "*Moved*: the median of how far the moved ones were moved.",
            ]
        if self.quality:
            lines += ["", f"*PCK@.2*: of the model, in percent, {self.quality_of}."]
        return [*lines, "", *(f"![{plot}](plots/{plot})" for plot in self.plots), ""]

    def _humans(self) -> list[str]:
        proof = self.proof
        lines = [
            "## What humans labelled",
            "",
            f"All {proof.human_points} points of `{proof.original}` were compared with this release, and "
            f"{proof.identical} are the same to the last digit, visibility included; so are {proof.fields} other "
            "values of its records and pictures (ids, boxes, segments, unknown fields). `diff.json` has the "
            "comparison.",
        ]
        if proof.corrected:
            lines += [
                "",
                f"{len(proof.corrected)} human points were corrected by a reviewer on purpose; `diff.json` lists them "
                "with their former numbers.",
            ]
        return [*lines, ""]

    def _proposals(self) -> list[str]:
        model = self._block.get("model", {})
        lines = [
            "## Reliability of the proposals",
            "",
            f"Model `{model.get('name', '?')}`, sha256 `{model.get('sha256', '?')}`. Each person's `proposals` has "
            "every proposal with its confidence, accepted or not.",
            "",
        ]
        guarantee = self._block.get("guarantee")
        if isinstance(guarantee, dict):
            return [*lines, *_guaranteed(guarantee), ""]
        thresholds = sorted({float(t) for t in self._block.get("thresholds", {}).values() if t is not None})
        shown = ", ".join(f"{t:g}" for t in thresholds[:3]) + (" …" if len(thresholds) > 3 else "")
        return [
            *lines,
            f"Accepted from a confidence of {shown}. **No error rate is guaranteed**: inspect them before use.",
            "",
        ]

    def _certificate(self) -> list[str]:
        """The certificate of `annotate certify`, if there is one."""
        certificate = self._block.get("certificate")
        if not isinstance(certificate, dict) or not certificate["pooled"]["inspected"]:
            return []
        rows = [
            (
                name,
                *(str(row[c]) for c in ("points", "inspected", "errors")),
                *(f"{100 * row[c]:.1f} %" for c in BOUNDS),
            )
            for name, row in certificate["keypoints"].items()
        ]
        return [
            "## Certificate",
            "",
            f"**{certificate['statement']}** {certificate['rest']}".rstrip(),
            "",
            "The inspected points were drawn by lot. Added points are the model's accepted proposals before "
            "correction; a gross error was rejected by the reviewer, needs a fix, or was moved beyond the tolerance "
            f"({certificate.get('tolerance', 'oks:0.5')}). "
            f"{''.join(f'{note} ' for note in certificate.get('notes', []))}"
            "The bounds take the reviewer's decisions as the truth. Those of a keypoint hold for it alone, each with "
            f"{100 * certificate['confidence']:g} % confidence. Seed {certificate['seed']}, points "
            f"`{certificate['population'][:12]}`; `annotate audit` draws the same sample again.",
            "",
            *_table(("keypoint", "added", "inspected", "gross errors", "at least", "at most"), rows),
        ]

    def _licences(self) -> list[str]:
        document = self.annotations.source.document
        listed = document.get("licenses")
        names = (
            {str(e.get("id")): e.get("name") for e in listed if isinstance(e, dict)} if isinstance(listed, list) else {}
        )
        named = (names.get(str(image.get("license"))) for image in document["images"])
        of_pictures = Counter(None if name is None else str(name) for name in named)
        del of_pictures[None]
        pictures = "; ".join(f"{name} ({count})" for name, count in of_pictures.most_common())
        info = document.get("info")
        source = info.get("description") or info.get("url") if isinstance(info, dict) else ""
        model = str(self._block.get("model", {}).get("licence") or "")
        return [
            "## Licences",
            "",
            f"- Annotations: {self.licence or 'those of the original file, which its proposals were added to'}"
            + (f" ({source})" if source else ""),
            f"- Pictures: {pictures or 'not stated by the file; ask for their origin'}",
            f"- Model: {model or 'not stated by the model'}",
            "",
        ]


def _guaranteed(guarantee: dict[str, Any]) -> list[str]:
    rows: list[tuple[str, ...]] = [
        (
            name,
            "none" if row.get("threshold") is None else f"{row['threshold']:.3f}",
            "" if row.get("bound") is None else f"{100 * row['bound']:.1f} %",
            f"{100 * row['share']:.0f} %",
        )
        for name, row in guarantee.get("keypoints", {}).items()
    ]
    return [
        f"Accepted at a risk of {100 * guarantee['risk']:g} %: for each keypoint, with 90 % confidence, at most this "
        f"share of what was accepted is a gross error (beyond the OKS-.5 radius, or not in the picture), for people "
        f"like {guarantee.get('people', 'those the model was calibrated on')}. Reviewers' decisions come on top.",
        "",
        *_table(("keypoint", "threshold", "upper bound of errors", "accepted"), rows),
    ]


def _with_sum(numbers: list[int]) -> list[int]:
    return [*numbers, sum(numbers)]


def _table(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    align = ["---", *("--:" for _ in heading[1:])] if len(heading) > 2 else ["---"] * len(heading)
    return [f"| {' | '.join(cells)} |" for cells in (heading, align, *rows)] + [""]


_USE = """## Train on it

mmpose 1.x:

```python
dataset = dict(
    type="CocoDataset", data_mode="topdown", ann_file="annotations.json", data_prefix=dict(img="PICTURES/"),
    metainfo=dict(from_file="mmpose_metainfo.py"), pipeline=[...],
)
```

poseunion (a data file): `datasets: [{name: released, annotations: annotations.json, images: PICTURES}]`. Points that
without a review weigh their confidence there; in other toolboxes they count like human ones: drop those whose
`keypoint_source` is `proposed` if you do not want that.

YOLO-pose (if `yolo/` is here): put the pictures, or a link to them, at `yolo/images`, and train with
`data=yolo/data.yaml`.

""".splitlines()
