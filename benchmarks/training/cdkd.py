"""What does each part of paper B bring to a student of 64x64 pixels? (Tables III and V to VIII in shape)

    .venv/bin/python benchmarks/training/cdkd.py --data data.yaml --sets DIR --seeds 0 1 2 \\
        > benchmarks/notes/$(date +%F)-cdkd.md

`data.yaml` names training datasets (docs/train.md); its teachers are not used, the one teacher is the shipped
`unified` at 256x256. DIR holds `coco/test.json`, `coco/test/`, `lspet/test.json` and `lspet/test/`. Every row gets the
same optimiser steps from the same start, in a process of one thread, two at a time. Runs that `--out` holds already are
not repeated, interrupted ones go on. Prints a Markdown note: mean and standard deviation over the seeds, then what each
row gains over the baseline, seed by seed, with the standard error of that gain: below two of them it is noise.

Each part on the recipe that ships, where `data.yaml`'s teachers count too, on pictures of 64 pixels a person:

    .venv/bin/python benchmarks/training/cdkd.py --data data.yaml --sets DIR --side 64 --set cdkd.half_teacher=true \\
        --steps 180 --rows "recipe" "recipe + SAPE" "recipe + CCA without ETHT" "recipe + CCA" "recipe + all"
"""

from __future__ import annotations

from pathlib import Path

from ablation import Row, Values, arguments, measure_all, print_head, slug, table

ONLY_FEATURES, ONLY_CLASSES = "cdkd.classes=off", "cdkd.features=off"
FIXED, LEARNED = "cdkd.learned=", "cdkd.learned=tau"
# Row: recipe and what is changed in it.
MAIN: dict[str, tuple[str, ...]] = {
    "baseline": ("cdkd_64", ONLY_FEATURES, ONLY_CLASSES, FIXED),
    "III projector": ("cdkd_64", ONLY_FEATURES, FIXED, "cdkd.features=projectors", "cdkd.projectors=1"),
    "III ensemble": ("cdkd_64", ONLY_FEATURES, FIXED, "cdkd.features=projectors"),
    "III ensemble + SAU": ("cdkd_64", ONLY_FEATURES, FIXED),
    "III CCA without ETHT": ("cdkd_64", ONLY_CLASSES, FIXED),
    "III CCA": ("cdkd_64", ONLY_CLASSES, LEARNED),
    "III all": ("cdkd_64",),
}
MORE: dict[str, tuple[str, ...]] = {
    "V features: strided convolution": ("cdkd_64", ONLY_FEATURES, FIXED, "cdkd.features=conv"),
    "V features: fully connected": ("cdkd_64", ONLY_FEATURES, FIXED, "cdkd.features=linear"),
    "V classes: same number": ("cdkd_same_classes",),
    "V classes: fully connected": ("cdkd_64", ONLY_CLASSES, FIXED, "cdkd.classes=linear"),
    "VI 1 projector": ("cdkd_64", "cdkd.projectors=1"),
    "VI 2 projectors": ("cdkd_64", "cdkd.projectors=2"),
    "VI 4 projectors": ("cdkd_64", "cdkd.projectors=4"),
    "VI 5 projectors": ("cdkd_64", "cdkd.projectors=5"),
    "VII 3, 5, 7": ("cdkd_64", "cdkd.kernels=1,1,1,0"),
    "VII 3, 3, 5, 7": ("cdkd_64", "cdkd.kernels=2,1,1,0"),
    "VII 3, 3, 3, 5, 7": ("cdkd_64", "cdkd.kernels=3,1,1,0"),
    "VII 3, 5, 5, 7": ("cdkd_64", "cdkd.kernels=1,2,1,0"),
    "VII 3, 5, 7, 9": ("cdkd_64", "cdkd.kernels=1,1,1,1"),
    "VIII nothing learned": ("cdkd_64", FIXED),
    "VIII tau, alpha": ("cdkd_64", "cdkd.learned=tau,alpha"),
    "VIII tau, alpha, beta": ("cdkd_64", "cdkd.learned=tau,alpha,beta"),
    "naive: RTMPose-t, stride 32": ("rtmpose_t_64",),
    "RTMPose's head at stride 8": ("rtmcc_64",),
}
TEACHER = "cdkd.teacher=unified"
SAPE, CCA = "cdkd.features=sape", "cdkd.classes=cca"
# Each part on the recipe that ships, whose teachers are remembered: labels, the joint teacher and a strong start.
SHIPPED: dict[str, tuple[str, ...]] = {
    "recipe": ("unified_64",),
    "recipe + SAPE": ("unified_64", TEACHER, SAPE),
    "recipe + CCA without ETHT": ("unified_64", TEACHER, CCA),
    "recipe + CCA": ("unified_64", TEACHER, CCA, LEARNED),
    "recipe + all": ("unified_64", TEACHER, SAPE, CCA, LEARNED),
}
ROWS = {**MAIN, **MORE, **SHIPPED}
BASELINES = ("baseline", "recipe")


def gains(values: Values, baseline: str) -> Values:
    """Row minus baseline, seed by seed."""
    base = values[baseline]
    return {
        row: {
            name: [ours - plain for ours, plain in zip(of, base.get(name, []), strict=False)]
            for name, of in by_measure.items()
        }
        for row, by_measure in values.items()
        if row != baseline
    }


def main() -> None:
    parser = arguments(__doc__, Path("runs/cdkd"))
    parser.add_argument(
        "--rows", nargs="+", choices=list(ROWS), default=list(MAIN), metavar="ROW", help=", ".join(ROWS)
    )
    options = parser.parse_args()
    chosen = {
        name: Row(slug(name), recipe, tuple(changes)) for name in options.rows for recipe, *changes in [ROWS[name]]
    }
    values = measure_all(chosen, options)
    print_head("Paper B's parts at 64x64", options.seeds)
    print("\n".join(table(values)))
    baseline = next((row for row in BASELINES if row in values), None)
    if baseline and len(values) > 1:
        print(f"\nGain over the {baseline}, mean over the seeds ± its standard error.\n")
        print("\n".join(table(gains(values, baseline), gain=True)))


if __name__ == "__main__":
    main()
