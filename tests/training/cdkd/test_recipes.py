"""Every recipe for small pictures trains, goes on after a stop, and exports; training leaves no trace in the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from ablation_recipes import ABLATIONS
from training_fixtures import random_weights, stopped_in_step
from typer.testing import CliRunner

from poseunion.export.cli.main import app
from poseunion.export.onnx.graph_export import export_onnx
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadArgumentError
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.networks.build import build_network
from poseunion.models.networks.stride_heads import EarlyNetwork
from poseunion.models.networks.weights import load_network
from poseunion.models.skeleton import load_skeleton
from poseunion.training.cdkd.distiller import TEACHER_BATCH, distiller_for, forward_parts, load_teacher, teacher_file
from poseunion.training.config.augmentation import NONE
from poseunion.training.config.overrides import changed, with_overrides
from poseunion.training.config.recipes import Recipe, Stage, find_recipe
from poseunion.training.config.recipes_paper_b import PAPER_B_RECIPES
from poseunion.training.loop.batch import draw_batch
from poseunion.training.loop.losses import heatmap_mse, heatmap_output
from poseunion.training.loop.prepare import Prepared
from poseunion.training.loop.stages import grid_of
from poseunion.training.loop.train import fit, learning_rate
from poseunion.training.loop.validate import held_out_pck

UNION = load_skeleton("union21")
TINY = {"hrnet_w32": "hrnet_w18_small", "hrnet_w48": "hrnet_w18_small", "resnet50": "resnet10t"}
TINY |= {"efficientnet_lite0": "mobilenetv4_conv_small_050"}


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights of random numbers: an equivariant teacher of 96x128, and a square one of HRNet's kind."""
    folder = tmp_path_factory.mktemp("teachers")
    return {
        "any": random_weights(folder / "any.safetensors", Stage((96, 128), 2.0, 1.0, 2)),
        "square": random_weights(
            folder / "square.safetensors",
            Stage((128, 128), 2.0, 1.0, 2),
            network="simcc-4",
            backbone="hrnet_w18_small",
        ),
    }


def tiny(recipe: Recipe, teachers: dict[str, Path]) -> Recipe:
    """A recipe with a small backbone, two people a step, and a teacher that is there."""
    (stage,) = recipe.stages
    side = min(stage.size_wh[0], 64)
    kind = "any" if recipe.cdkd.teacher else "square"
    return changed(
        recipe,
        backbone=TINY.get(recipe.student.backbone, recipe.student.backbone),
        pretrained=False,
        stages=(Stage((side, side), stage.split, 1.0, 2),),
        epochs=0,
        steps=2,
        log_every=1,
        checkpoint_minutes=0.0,
        validate_minutes=1e9,
        cdkd=changed(recipe.cdkd, teacher=str(teachers[kind])) if recipe.cdkd.is_on else recipe.cdkd,
    )


def fit_in_two(recipe: Recipe, prepared: Prepared, out: Path, stop: int = 2) -> Path:
    """A run that is stopped in a step, and resumed."""
    with stopped_in_step(stop):
        fit(recipe, prepared, out, accelerator="cpu")
    return fit(recipe, prepared, out, resume=True, accelerator="cpu")


QUICK = ("cdkd_64", "sape_hrnet_heatmap_64")
PAPER_B = ("cdkd_same_classes", "cdkd_hrnet_w48_64", "simcc_hrnet_w48_256", "hrnet_heatmap_256")


def ablation(name: str, *overrides: str) -> Recipe:
    return with_overrides(ABLATIONS[name](), overrides)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=make.__name__, marks=() if make.__name__ in QUICK else pytest.mark.slow)
        for make in (*PAPER_B_RECIPES, *(m for n, m in ABLATIONS.items() if n in PAPER_B or n.endswith("_64")))
    ],
)
def test_every_recipe_trains_resumes_and_exports(
    make: object, teachers: dict[str, Path], prepared: Prepared, tmp_path: Path
) -> None:
    recipe = tiny(make(), teachers)  # type: ignore[operator]
    weights = fit_in_two(recipe, prepared, tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    for part, wanted in (("cdkd_features", recipe.cdkd.features), ("cdkd_classes", recipe.cdkd.classes)):
        assert all((part in row) == (wanted != "off") for row in rows)
    assert all(("cdkd_tau" in row) == bool(recipe.cdkd.learned) for row in rows)
    arguments = ["export", "--model", str(weights), "--out", str(tmp_path / "student.onnx")]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False).exit_code == 0
    predictor = load_predictor(tmp_path / "student.onnx", flip=True)
    poses = predictor(np.zeros((90, 70, 3), np.uint8), [[10, 5, 30, 70]])
    assert poses.xy.shape == (1, len(UNION), 2)
    assert np.isfinite(poses.xy).all()
    assert predictor.metadata.size_wh == recipe.stages[0].size_wh == predictor.size_wh
    if recipe.student.network.startswith("heatmap"):
        arguments += ["--with-preprocess", "crop", "--overwrite"]
        with pytest.raises(BadArgumentError, match="heatmap head"):
            CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False)


def test_a_distilled_run_that_is_stopped_ends_like_one_that_is_not(
    teachers: dict[str, Path], prepared: Prepared, tmp_path: Path
) -> None:
    """Alignments and curriculum are in the checkpoint."""
    recipe = changed(tiny(ablation("cdkd_64"), teachers), steps=3)
    recipe = changed(recipe, cdkd=changed(recipe.cdkd, learned=("tau", "alpha", "beta")))
    fit(recipe, prepared, tmp_path / "whole", accelerator="cpu")
    fit_in_two(recipe, prepared, tmp_path / "cut", stop=3)
    whole, cut = (torch.load(tmp_path / run / "last.ckpt", weights_only=True)["network"] for run in ("whole", "cut"))
    assert all(torch.equal(whole[k], cut[k]) for k in whole)
    logs = [
        [json.loads(line)["total"] for line in (tmp_path / run / "log.jsonl").read_text().splitlines()]
        for run in ("whole", "cut")
    ]
    assert logs[0] == logs[1]


def test_a_teacher_runs_in_autocasts_precision_and_its_losses_have_32_bits(teachers: dict[str, Path]) -> None:
    recipe = tiny(ablation("cdkd_64"), teachers)
    (stage,) = recipe.stages
    torch.manual_seed(0)
    student = build_network(
        recipe.student.network, recipe.student.backbone, len(UNION), grid_of(stage), pretrained=False
    )
    distiller = distiller_for(recipe.cdkd, student, recipe.skeleton, grid_of(stage))
    assert distiller is not None
    dtypes: list[torch.dtype] = []
    distiller.teacher.network.heatmap.register_forward_hook(lambda *args: dtypes.append(args[2].dtype))  # type: ignore[union-attr]
    picture = torch.randint(0, 256, (2, *distiller.teacher.size_wh[::-1], 3), dtype=torch.uint8)
    features, simcc, _ = forward_parts(student, torch.rand(2, 3, *stage.size_wh))
    given = (features, simcc, picture, torch.zeros(2, dtype=torch.bool), 0.5)
    whole = distiller(*given)
    with torch.autocast("cpu", torch.bfloat16):
        short = distiller(*given)
    assert dtypes == [torch.float32, torch.bfloat16]
    distiller.config = changed(distiller.config, half_teacher=True)
    half = distiller(*given)
    assert dtypes[2:] == [torch.bfloat16]
    for name, value in short.items():
        torch.testing.assert_close(half[name], value)
    assert all(part.dtype == torch.float32 for part in short.values())
    for name, value in whole.items():
        torch.testing.assert_close(short[name], value, rtol=0.05, atol=1e-3)
    assert not torch.equal(short["cdkd"], whole["cdkd"])


def test_a_teacher_predicts_the_same_for_many_people_as_for_each(teachers: dict[str, Path]) -> None:
    teacher = load_teacher(str(teachers["any"]), (48, 64))
    width, height = teacher.size_wh
    crops = torch.rand(TEACHER_BATCH + 3, 3, height, width, generator=torch.Generator().manual_seed(0))
    features, simcc = teacher(crops)
    assert simcc is not None
    each = [teacher(crop[None]) for crop in crops]
    torch.testing.assert_close(features, torch.cat([one for one, _ in each]))
    for axis, logit in enumerate(simcc):
        torch.testing.assert_close(logit, torch.cat([one[axis] for _, one in each if one is not None]))


def test_training_leaves_no_trace_in_the_student(teachers: dict[str, Path], prepared: Prepared, tmp_path: Path) -> None:
    taught = tiny(ablation("cdkd_64"), teachers)
    alone = changed(taught, cdkd=changed(taught.cdkd, features="off", classes="off"))
    states, graphs = [], []
    for name, recipe in (("taught", taught), ("alone", alone)):
        weights = fit(recipe, prepared, tmp_path / name, accelerator="cpu")
        states.append({k: tuple(v.shape) for k, v in load_network(weights)[0].state_dict().items()})
        export_onnx(weights, tmp_path / f"{name}.onnx")
        graph = onnx.load(tmp_path / f"{name}.onnx").graph
        graphs.append(
            (
                [(node.op_type, list(node.input), list(node.output)) for node in graph.node],
                [(one.name, list(one.dims)) for one in graph.initializer],
            )
        )
    assert states[0] == states[1]
    assert graphs[0] == graphs[1]


def test_the_first_steps_student_is_the_same_with_a_teacher_and_without(
    teachers: dict[str, Path], prepared: Prepared
) -> None:
    """What is compared in an ablation starts from the same weights and sees the same pictures."""
    recipe = tiny(ablation("cdkd_64"), teachers)
    grid = grid_of(recipe.stages[0])
    batches = [
        draw_batch(prepared.train, np.random.default_rng(3), 4, grid, recipe.augmentation, wide_wh=wide)
        for wide in (None, (128, 128))
    ]
    assert np.array_equal(batches[0].image_NHW3, batches[1].image_NHW3)
    assert batches[0].wide_NHW3 is None
    assert batches[1].wide_NHW3 is not None
    assert batches[1].wide_NHW3.shape == (4, 128, 128, 3)


def test_a_wide_crop_shows_the_same_region(prepared: Prepared) -> None:
    """Undisturbed crops of 32x32 are what 128x128 ones look like from afar."""
    grid = SimccGrid.for_bins((32, 32), (64, 64))
    batch = draw_batch(prepared.train, np.random.default_rng(1), 6, grid, NONE, wide_wh=(128, 128))
    assert batch.wide_NHW3 is not None
    small = batch.wide_NHW3.reshape(6, 32, 4, 32, 4, 3).mean((2, 4))
    # Block means sit at other places than samples: up to 1.5 of 4 px apart. What shows nothing else would differ more.
    off = [np.abs(small - np.roll(batch.image_NHW3.astype(float), shift, 2)).mean() for shift in (0, 4, -4)]
    assert off[0] < 0.75 * min(off[1:])


def test_an_equivariant_teacher_reads_any_aspect_and_others_their_own(teachers: dict[str, Path]) -> None:
    assert load_teacher(str(teachers["any"]), (64, 64)).size_wh == (128, 128)
    assert load_teacher(str(teachers["any"]), (48, 64)).size_wh == (96, 128)
    assert load_teacher(str(teachers["square"]), (32, 32)).size_wh == (128, 128)
    with pytest.raises(BadArgumentError, match="same aspect"):
        load_teacher(str(teachers["square"]), (48, 64))
    shipped = load_teacher("unified-64", (32, 32))
    assert (shipped.size_wh, shipped.skeleton.name) == ((128, 128), "union21")
    for absent in ("", "nobody", "nobody.safetensors", "nobody.onnx"):
        with pytest.raises(BadArgumentError, match=r"cdkd\.teacher"):
            teacher_file(absent)


def test_a_heatmap_network_has_no_classes(teachers: dict[str, Path]) -> None:
    recipe = tiny(ablation("sape_hrnet_heatmap_64", "cdkd.classes=cca"), teachers)
    grid = grid_of(recipe.stages[0])
    student = build_network(recipe.student.network, recipe.student.backbone, len(UNION), grid)
    with pytest.raises(BadArgumentError, match=r"cdkd\.classes=off"):
        distiller_for(recipe.cdkd, student, "union21", grid)


@pytest.mark.parametrize(
    ("head", "backbone", "stride", "side", "cells"),
    [
        ("simcc", "hrnet_w18_small", 4, 32, 8),
        ("simcc", "resnet10t", 8, 64, 8),
        ("rtmcc", "cspnext-t", 8, 64, 8),
        ("rtmcc", "mobilenetv4_conv_small_050", 4, 32, 8),
        ("heatmap", "hrnet_w18_small", 4, 64, 16),
    ],
)
def test_heads_of_small_students_see_cells_enough(head: str, backbone: str, stride: int, side: int, cells: int) -> None:
    """And everything that a network holds is used: what is not would travel in every file."""
    network = EarlyNetwork(head, backbone, stride, 5, SimccGrid.for_bins((side, side), (2 * side, 2 * side)))
    image = torch.randn(2, 3, side, side)
    assert network.features(image).shape[2:] == (cells, cells)
    answer = network(image)
    parts = [answer] if isinstance(answer, torch.Tensor) else list(answer)
    torch.stack([part.square().sum() for part in parts]).sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_networks_that_are_not_there_are_refused() -> None:
    grid = SimccGrid.for_bins((64, 64), (128, 128))
    for network, backbone in (("simcc-5", "resnet10t"), ("nope-8", "resnet10t"), ("simcc-8", "nope")):
        with pytest.raises(BadArgumentError):
            build_network(network, backbone, 5, grid)


def test_a_heatmap_that_is_its_own_label_has_no_loss_and_is_found(prepared: Prepared) -> None:
    head = heatmap_output((64, 64), 4)
    xy = torch.tensor([[[20.0, 40.0], [33.0, 8.0]]])
    at = torch.arange(16.0)
    centre = torch.round(xy / 4)
    axes = [torch.exp(-((at - centre[..., a, None]) ** 2) / (2 * head.sigma_cells**2)) for a in (0, 1)]
    heat = axes[1][..., :, None] * axes[0][..., None, :]
    assert float(heatmap_mse(heat, xy, torch.ones(1, 2), (64, 64))["heatmap"]) == pytest.approx(0, abs=1e-9)
    worse = heatmap_mse(torch.zeros_like(heat), xy, torch.tensor([[1.0, 0.0]]), (64, 64))["heatmap"]
    assert float(worse) == pytest.approx(float((heat[0, 0] ** 2).sum()), rel=1e-5)


def test_a_heatmap_student_is_validated_like_any_other(prepared: Prepared) -> None:
    network = build_network("heatmap-4", "hrnet_w18_small", len(UNION), SimccGrid((64, 64)))
    score = held_out_pck(network, SimccGrid((64, 64)), prepared.train)
    assert score
    assert all(0 <= value <= 100 for value in score.values())


def test_the_rate_falls_where_the_paper_says() -> None:
    recipe = changed(find_recipe("cdkd_hrnet_w32_64", []), epochs=0, steps=210)
    rates = [learning_rate(recipe, epoch, epoch / 210) for epoch in range(210)]
    assert rates[:170] == [1e-3] * 170
    assert rates[170:200] == pytest.approx([1e-4] * 30)
    assert rates[200:] == pytest.approx([1e-5] * 10)


def test_switches_can_be_set_on_the_command_line() -> None:
    recipe = ablation(
        "cdkd_64", "cdkd.learned=tau,alpha", "cdkd.kernels=2,1,1,0", "cdkd.features=conv", "cdkd.projectors=5"
    )
    assert recipe.cdkd.learned == ("tau", "alpha")
    assert recipe.cdkd.kernel_sides == (3, 3, 5, 7)
    assert ablation("cdkd_64", "cdkd.learned=").cdkd.learned == ()
    assert ablation("cdkd_64", "lr_drops=.5,.9").schedule.lr_drops == (0.5, 0.9)
    with pytest.raises(BadArgumentError, match=r"lr_drops"):
        ablation("cdkd_64", "lr_drops=5")
