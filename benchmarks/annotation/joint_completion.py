"""Limb completion of a joint model beside one model: hidden limbs of held-out people, predicted from the picture alone
and given the remaining labels.

    python benchmarks/annotation/joint_completion.py read --data DATA --teachers TEACHERS --work WORK
    python benchmarks/annotation/joint_completion.py table --data DATA --teachers TEACHERS --work WORK
    python benchmarks/annotation/joint_completion.py speed --teachers TEACHERS

`read` runs the networks, once a crop, and keeps outputs in WORK. `table` fits conditioning parameters of the joint
models on two fifths of the people and measures all on the others (`is_for_guarantee`), as `poseunion fit-evidence` and
`calibrate` part them. DATA has coco/ and lspet/, each with train.json and train/; no test set is read.

Shapes: N people, K keypoints, R rounds of hiding.
"""

from __future__ import annotations

import argparse
import dataclasses
import pickle
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.models.calibration.conditioning_parameters import ConditioningParameters, parameters_beside
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.conditioning.fusion import fuse
from poseunion.models.conditioning.prior import load_prior
from poseunion.models.inference.joint import JointModel, JointPredictor
from poseunion.models.inference.joint_turns import Turns
from poseunion.models.inference.predictor import Predictor, load_predictor
from poseunion.models.metrics import PCK12, keypoint_similarity
from poseunion.models.runtime.base import PoseModel
from poseunion.models.skeleton import Skeleton
from poseunion.models.zoo import model_path
from poseunion.training.calibration.fit_conditioning import fit_tempering, people_of
from poseunion.training.calibration.samples import ViewPredictions, joined, predict_views, read_views
from poseunion.training.data.splits import is_for_guarantee, is_held_out

SETS = ("coco", "lspet")
TEACHERS = ("tinypose-256x192", "movenet-thunder")
# Of each set so many people to fit on and to measure, drawn by lot.
FITTED, MEASURED = 50, 110
# Arm -> members and turns.
ARMS = {
    "unified": (("unified",), Turns.NONE),
    "unified + tinypose": (("unified", TEACHERS[0]), Turns.NONE),
    "unified + tinypose, turned: disagreement": (("unified", TEACHERS[0]), Turns.DISAGREEMENT),
    "unified + tinypose + thunder": (("unified", *TEACHERS), Turns.NONE),
    "unified + tinypose + thunder, turned: disagreement": (("unified", *TEACHERS), Turns.DISAGREEMENT),
}
BATCH = 64
DRAWS = 500
SPEED_PEOPLE, SPEED_ROUNDS = 16, 3


class Remembering(PoseModel):
    """A network whose outputs are kept by crop, so that arms with the same members cost no second call."""

    def __init__(self, model: PoseModel) -> None:
        self.model, self.kept = model, dict[int, list[NDArray[np.float16]]]()
        self.path, self.description, self.provider = model.path, model.description, model.provider
        self.threads, self.sha256 = 1, model.sha256

    def forward(self, input_N: NDArray[np.float32]) -> list[NDArray[np.floating]]:
        """As the network."""
        return self.model.forward(input_N)

    def run(self, crop_NHW3: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """As the network, rounded to half precision."""
        keys = [crop.tobytes() for crop in crop_NHW3]
        if missing := [i for i, key in enumerate(keys) if hash(key) not in self.kept]:
            for i, *outputs in zip(missing, *self.model.run(crop_NHW3[missing]), strict=True):
                self.kept[hash(keys[i])] = [o.astype(np.float16) for o in outputs]
        return [np.stack(o).astype(np.float32) for o in zip(*(self.kept[hash(key)] for key in keys), strict=True)]


def read(data: Path, teachers: Path, work: Path, datasets: Sequence[str]) -> None:
    """Predictions of every arm."""
    networks: dict[str, Predictor] = {}
    for name in ("unified", *TEACHERS):
        networks[name] = load_predictor("unified" if name == "unified" else teachers / f"{name}.onnx", threads=1)
        networks[name].model = Remembering(networks[name].model)
    skeleton = networks["unified"].skeleton
    for dataset in datasets:
        views = read_views(dataset, data / dataset / "train.json", data / dataset / "train", skeleton, is_held_out)
        order = np.random.default_rng(0).permutation(len(views)).tolist()
        apart = [is_for_guarantee(v.person.image.name) for v in views]
        rows = [i for i in order if not apart[i]][:FITTED] + [i for i in order if apart[i]][:MEASURED]
        views = sorted((views[i] for i in rows), key=lambda v: (str(v.person.image), v.person.person_id))
        found = {}
        for arm, (members, turns) in ARMS.items():
            chosen = [networks[m] for m in members]
            predictor = chosen[0] if len(chosen) == 1 else JointPredictor(JointModel(chosen, turns))
            start = time.perf_counter()
            found[arm] = predict_views(predictor, views, logits=True)
            taken_ms = (time.perf_counter() - start) / len(views) * 1e3
            print(f"{dataset}, {arm}: {taken_ms:.0f} ms a person beyond the above", flush=True)
            with (work / f"{dataset}.pickle").open("wb") as file:
                pickle.dump(found, file)


def part_of(predicted: ViewPredictions, rows: NDArray[np.intp]) -> ViewPredictions:
    """Some of the people."""
    assert predicted.logits is not None
    x, y = predicted.logits
    arrays = {name: getattr(predicted, name)[rows] for name in ("xy", "raw_score", "wh", "truth", "given")}
    views, crops = tuple(predicted.views[i] for i in rows), tuple(predicted.crops[i] for i in rows)
    oks = None if predicted.expected_oks is None else predicted.expected_oks[rows]
    return dataclasses.replace(
        predicted, views=views, crops=crops, logits=(x[rows], y[rows]), expected_oks=oks, **arrays
    )


def limbs_completed(
    predicted: ViewPredictions, grid: SimccGrid, skeleton: Skeleton, tempering: ConditioningParameters
) -> NDArray[np.float64]:
    """(2, N, K) OKS of every hidden limb from the picture alone, and given the labels that are left; NaN elsewhere."""
    people, prior = people_of(predicted, skeleton), load_prior()
    limb_K = np.isin(skeleton.keypoints, PCK12)
    xy = np.full((2, *predicted.xy.shape), np.nan)
    for hidden_NK in people.hidden[0]:
        asked = hidden_NK & predicted.labelled & limb_K
        rows = np.flatnonzero(asked.any(1))
        for i in (rows[start : start + BATCH] for start in range(0, len(rows), BATCH)):
            found = fuse(
                people.logit_x[i],
                people.logit_y[i],
                grid,
                [predicted.crops[n] for n in i],
                predicted.given[i],
                predicted.known[i] & ~hidden_NK[i],
                prior,
                skeleton=skeleton,
                tempering=tempering,
                wanted_NK=asked[i],
            )
            n, k = np.nonzero(asked[i])
            xy[1, i[n], k], xy[0, i[n], k] = found.xy_NK2[n, k], predicted.xy[i[n], k]
    squared = ((xy - predicted.truth) ** 2).sum(-1)
    area = np.array([v.area for v in predicted.views])[:, None]
    return keypoint_similarity(squared, area, skeleton.sigma_array)


def table(teachers: Path, work: Path) -> None:
    """Print the table of the note."""
    shipped = load_predictor("unified", threads=1)
    skeleton = shipped.skeleton
    found = {name: pickle.loads((work / f"{name}.pickle").read_bytes()) for name in SETS}
    oks: dict[tuple[str, str], NDArray[np.float64]] = {}
    for arm, (members, turns) in ARMS.items():
        if any(arm not in predicted for predicted in found.values()):
            continue
        if len(members) == 1:
            grid, tempering = shipped.metadata.grid, parameters_beside(model_path("unified"))
        else:
            networks = [shipped, *(load_predictor(teachers / f"{m}.onnx", threads=1) for m in members[1:])]
            model = JointModel(networks, turns)
            grid = model.description.grid
            fitted = joined(*(part_of(found[name][arm], rows_of(found[name][arm], False)) for name in SETS))
            tempering = fit_tempering(
                people_of(fitted, skeleton), grid, skeleton, load_prior(), model.description.name, model.sha256
            )
            print(f"{arm}: {tempering.model_dump_json()}\n", flush=True)
        for name in SETS:
            measured = part_of(found[name][arm], rows_of(found[name][arm], True))
            oks[name, arm] = limbs_completed(measured, grid, skeleton, tempering)
    print("| people | limbs | model | picture alone: OKS | within OKS .5 | with labels: OKS | within OKS .5 | gain |")
    print("|---|--:|---|--:|--:|--:|--:|--:|")
    for (name, arm), of_2NK in oks.items():
        count = int(np.isfinite(of_2NK[0]).sum())
        shares = [f"{100 * v:.1f}" for one in of_2NK for v in (np.nanmean(one), (one >= 0.5).sum() / count)]
        gain = "" if arm == "unified" else difference(of_2NK[1], oks[name, "unified"][1])
        people = int(np.isfinite(of_2NK[0]).any(1).sum())
        print(f"| {name}, {people} | {count} | {arm} | {' | '.join(shares)} | {gain} |")


def rows_of(predicted: ViewPredictions, apart: bool) -> NDArray[np.intp]:
    """People who are measured (`apart`), or fitted on."""
    return np.flatnonzero([is_for_guarantee(v.person.image.name) == apart for v in predicted.views])


def difference(one_NK: NDArray[np.float64], other_NK: NDArray[np.float64]) -> str:
    """Gain in points of OKS with its 95 % interval, people drawn with replacement."""
    rng = np.random.default_rng(0)
    apart, n = one_NK - other_NK, len(one_NK)
    drawn = [np.nanmean(apart[rng.integers(n, size=n)]) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{100 * np.nanmean(apart):+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def speed(teachers: Path) -> None:
    """Print the processor time a person of every arm, without labels; the least of some rounds."""
    networks = {name: load_predictor(teachers / f"{name}.onnx", threads=1) for name in TEACHERS}
    networks["unified"] = load_predictor("unified", threads=1)
    arms = {
        arm: networks["unified"]
        if arm == "unified"
        else JointPredictor(JointModel([networks[m] for m in members], turns))
        for arm, (members, turns) in {**ARMS, "unified, turned: always": (("unified",), Turns.ALWAYS)}.items()
    }
    # Noise: the models disagree on everything, and all people are turned.
    picture = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    boxes = np.tile([[200.0, 60, 150, 380]], (SPEED_PEOPLE, 1))
    least: dict[str, float] = {}
    for _ in range(SPEED_ROUNDS):
        for arm, predictor in arms.items():
            start = time.process_time()
            predictor.predict([picture], [boxes])
            taken_ms = (time.process_time() - start) / SPEED_PEOPLE * 1e3
            least[arm] = min(least.get(arm, np.inf), taken_ms)
    print("| model | ms a person | of unified | kB of crops a person |\n|---|--:|--:|--:|")
    for arm, taken_ms in least.items():
        size = arms[arm].cut(picture, boxes[0])[0].nbytes / 1e3
        print(f"| {arm} | {taken_ms:.0f} | {taken_ms / least['unified']:.1f} | {size:.0f} |")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["read", "table", "speed"])
    parser.add_argument("--set", choices=SETS, action="append", help="Only this set; both by default.")
    parser.add_argument("--teachers", type=Path, required=True)
    for name in ("data", "work"):
        parser.add_argument(f"--{name}", type=Path, default=Path())
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if given.step == "read":
        read(given.data, given.teachers, given.work, given.set or SETS)
    elif given.step == "table":
        table(given.teachers, given.work)
    else:
        speed(given.teachers)


if __name__ == "__main__":
    main()
