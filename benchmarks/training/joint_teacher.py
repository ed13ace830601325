"""Joint teacher: its weights and turns chosen on held-out training people, its table on the test sets.

    cd benchmarks
    python joint_teacher.py read --data DATA --teachers TEACHERS --work WORK     # 15 minutes of a core; resumes
    python joint_teacher.py choose --data DATA --teachers TEACHERS --work WORK   # held-out training people
    python joint_teacher.py table --data DATA --teachers TEACHERS --work WORK    # test sets

DATA: coco/train.json, coco/train, … test; lspet likewise. TEACHERS: the ONNX files of `joint_readings.MEMBERS`.
`union21-lite0` was trained on people of coco/train and lspet/train: those of held-out pictures are the only ones here.
"""

from __future__ import annotations

import argparse
import datetime
import shlex
import sys
from pathlib import Path

from joint_choice import Merged, choose, chosen_weights, scores
from joint_readings import MEMBERS, Readings, read_all

from poseunion.export.timing import commit, machine
from poseunion.models.inference.joint_turns import AGREED
from poseunion.training.evaluation.joint_rows import ORACLE, oracle

SETS = {"choose": ("coco/train", "lspet/train"), "table": ("coco/test", "lspet/test")}
COLUMNS = {"coco/test": ("AP", "mean_OKS", "PCK12"), "lspet/test": ("PCK12", "upper_neck", "head_top")}


def table(sets: dict[str, Readings]) -> list[str]:
    """The members, the joint, the joint with turned pictures, and the oracle on the test sets, as Markdown."""
    rows: dict[str, dict[str, dict[str, float]]] = {name: {} for name in MEMBERS}
    lines = []
    for name, readings in sets.items():
        for member, own in zip(MEMBERS, readings.own, strict=False):
            rows[member][name] = scores(readings, own, member)
        whole = Merged(readings, chosen_weights(readings.joint.skeleton))
        for label, threshold in (
            ("joint, fitted weights", 0.0),
            ("joint, fitted weights, turns: disagreement", AGREED),
            ("joint, fitted weights, turns: always", 1.01),
        ):
            found = readings.predictions(whole.turned(threshold))
            rows.setdefault(label, {})[name] = scores(readings, found, label)
        rows.setdefault(ORACLE, {})[name] = scores(readings, oracle(readings.task.annotations, readings.own), ORACLE)
        share = 100 * (whole.agreement < AGREED).mean()
        lines.append(f"{name}: {len(readings.rows)} people, {share:.0f} % of them read turned for disagreement.  ")
    header = [f"{name} {column}" for name, columns in COLUMNS.items() for column in columns]
    lines += ["", f"| | {' | '.join(header)} |", "|---|" + "--:|" * len(header)]
    for label, measured in rows.items():
        values = [measured.get(name, {}).get(column) for name, columns in COLUMNS.items() for column in columns]
        lines.append(f"| {label} | {' | '.join('–' if v is None else f'{v:.1f}' for v in values)} |")
    return lines


def main() -> None:
    """Read, choose or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("read", *SETS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teachers", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=[n for names in SETS.values() for n in names], help="to read")
    parser.add_argument("--work", type=Path, required=True, help="folder of what was read")
    given = parser.parse_args()
    names = given.sets if given.what == "read" else SETS[given.what]
    sets = read_all(given.data, given.teachers, given.work, names)
    if given.what == "read":
        return
    print(f"Date: {datetime.date.today().isoformat()}  ")
    print(f"Command: `{shlex.join(['python', *sys.argv])}`  ")
    print(f"Machine: {machine()}  ")
    print(f"Commit: {commit(Path(__file__))}  \n")
    print("\n".join((choose if given.what == "choose" else table)(sets)))


if __name__ == "__main__":
    main()
