"""Which network learns fastest, in the same time on a processor?

    .venv/bin/python benchmarks/training/networks.py --data data.yaml --sets DIR --seeds 0 1 \\
        > benchmarks/notes/$(date +%F)-networks.md

`data.yaml` names the datasets `coco` and `lspet` (docs/train.md); labels alone teach, at 96x128. DIR holds
`coco/test.json`, `coco/test/`, `lspet/test.json` and `lspet/test/`. Every network has the same minutes of one thread,
two of them at a time, since what it costs is part of what it is: other work on the machine spoils the comparison. Runs
that `--out` holds already are not repeated, interrupted ones go on. Prints a Markdown note.
"""

from __future__ import annotations

from pathlib import Path

from ablation import Row, arguments, measure_all, print_head, slug, table

SCRATCH = "pretrained=false"
# Row: changes of `union_labels`, the equivariant head on ImageNet's efficientnet_lite0.
ROWS: dict[str, tuple[str, ...]] = {
    "RTMPose-t, from scratch": ("network=rtmpose-t", "backbone=", SCRATCH, "heatmap_weight=0"),
    "efficientnet_lite0, RTMPose's head at stride 16": ("network=rtmcc-16", "heatmap_weight=0"),
    "efficientnet_lite0, RTMPose's head at stride 8": ("network=rtmcc-8", "heatmap_weight=0"),
    "efficientnet_lite0, SimCC's head at stride 8": ("network=simcc-8", "heatmap_weight=0"),
    "CSPNeXt-t from scratch, equivariant head": ("backbone=cspnext-t", SCRATCH),
    "efficientnet_lite0 from scratch, equivariant head": (SCRATCH,),
    "efficientnet_lite0, equivariant head": (),
}


def main() -> None:
    parser = arguments(__doc__, Path("runs/networks"))
    parser.add_argument("--minutes", type=float, default=10.0, help="of each run")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    options = parser.parse_args()
    options.set = [*options.set, f"minutes={options.minutes:g}"]
    values = measure_all({name: Row(slug(name), "union_labels", ROWS[name]) for name in options.rows}, options)
    print_head(f"Networks after {options.minutes:g} minutes of one thread", options.seeds)
    print("\n".join(table(values)))


if __name__ == "__main__":
    main()
