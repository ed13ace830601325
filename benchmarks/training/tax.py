"""What does one student for several skeletons lose to the specialists? (the "unification tax")

    .venv/bin/python benchmarks/training/tax.py --data data.yaml --sets DIR --seeds 0 1 2 \\
        > benchmarks/notes/$(date +%F)-tax.md

`data.yaml` names the datasets `coco` and `lspet` and a COCO and an MPII teacher (docs/train.md). DIR holds
`coco/test.json`, `coco/test/`, `lspet/test.json` and `lspet/test/`. Every recipe gets the same optimiser steps, in a
process of one thread, two of them at a time: what else the machine does changes how long a run takes, not what it
learns; `--steps 150` is a smaller budget, the same for all. Runs that `--out` holds already are not repeated,
interrupted ones go on, so that the script can be stopped and started; runs of another budget want another `--out`.
Prints a Markdown note; its first table has every recipe's mean and standard deviation over the seeds, its second what
each union loses to the specialist of the test set.

From a strong start (a converted public network, `poseunion convert`; its branch trained by `unified_branch`), as many
people of either data set for all, the union's teacher joint: `--init start.safetensors --recipes tuned_coco tuned_lspet
tuned_union tuned_union_joint`. Remembered against online teachers: `--recipes union_two_teachers union_online`.
"""

from __future__ import annotations

from pathlib import Path

from ablation import MEASURES, Row, Values, arguments, measure_all, print_head, table

# A measure's data set -> its specialists, of beginners and of tuned public networks.
SPECIALISTS = {"COCO": ("coco_only", "tuned_coco"), "LSPET": ("lspet_only", "tuned_lspet")}
RECIPES = (
    *("coco_only", "lspet_only", "union_labels", "union_one_teacher", "union_two_teachers", "union_agreement"),
    *("union_no_offsets", "union_even_sets", "union_even_keypoints", "union_features"),
)


def taxes(values: Values) -> Values:
    """Specialist minus union, seed by seed."""
    result: Values = {}
    specialists = {name for names in SPECIALISTS.values() for name in names}
    for recipe in (r for r in values if r not in specialists):
        for name in MEASURES:
            own = next((s for s in SPECIALISTS[name.split()[0]] if s in values), "")
            best = values.get(own, {}).get(name, [])
            pairs = zip(best, values[recipe].get(name, []), strict=False)
            if lost := [specialist - union for specialist, union in pairs]:
                result.setdefault(recipe, {})[name] = lost
    return result


def main() -> None:
    parser = arguments(__doc__, Path("runs/tax"))
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    options = parser.parse_args()
    values = measure_all({recipe: Row(recipe, recipe) for recipe in options.recipes}, options)
    print_head("Unification tax", options.seeds)
    print("\n".join(table(values)))
    if lost := taxes(values):
        print("\nThe tax: specialist minus union, seed by seed; below 0 the union is better.\n")
        print("\n".join(table(lost)))


if __name__ == "__main__":
    main()
