"""The training loop.

Every random choice of step s on device r comes from the seed (seed, r, s): a resumed run draws the same people as one
that was never stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from poseunion.models.codec.heads import HeatmapOutput, SimccOutput
from poseunion.models.errors import BadArgumentError, BadFileError, PoseUnionError
from poseunion.models.files import atomic_writer
from poseunion.models.networks.weights import NetworkSpec, save_weights
from poseunion.models.runtime.description import ModelDescription
from poseunion.training.cdkd.distiller import distiller_for
from poseunion.training.config.recipe import Recipe
from poseunion.training.data.crop_store import PADDING
from poseunion.training.loop.batch import Batch, draw_batch
from poseunion.training.loop.checkpoint import Ema, load_checkpoint, save_checkpoint
from poseunion.training.loop.cpu_kernels import keep_freed_memory, use_fast_kernels
from poseunion.training.loop.device_batch import DeviceBatch, DeviceStore
from poseunion.training.loop.freeze import freeze
from poseunion.training.loop.log import RunLog
from poseunion.training.loop.losses import heatmap_output
from poseunion.training.loop.prepare import Prepared
from poseunion.training.loop.schedule import Clock, cosine, warm_up
from poseunion.training.loop.stages import Origin, grid_of, grown_state, network_for, stage_index
from poseunion.training.loop.step import ASIDE, Trained, losses, optimizer_for
from poseunion.training.loop.validate import held_out_pck

LICENCE = "Apache-2.0 (code); trained on pictures licensed for research only"


class NonFiniteLossError(PoseUnionError):
    """The loss or its gradient stopped being a number."""


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """Linear warm-up over steps, constant, then a cosine over the last part of the budget, or drops to a tenth."""
    warm = recipe.optimizer.lr * warm_up(recipe.schedule, step)
    if recipe.schedule.lr_drops:
        return warm * 0.1 ** sum(progress >= share for share in recipe.schedule.lr_drops)
    return warm * cosine(recipe.schedule, progress)


def fit(
    recipe: Recipe,
    data: Prepared,
    out: Path,
    *,
    init: dict[str, Tensor] | None = None,
    origin: Origin | None = None,
    resume: bool = False,
    devices: int = 1,
    nodes: int = 1,
    accelerator: str = "auto",
) -> Path:
    """Train a student; returns the path of its averaged weights.

    `out` gets `last.ckpt` (for resuming), `log.jsonl`, `tensorboard/` and, when the run is over, `weights.safetensors`.

    Args:
        init: weights to start from, see `initial_state`; a run that is resumed goes on from its own.
        origin: what these are, see `origin_of`.
        devices: processes or GPUs of each node.
        nodes: machines; the same command is started on each (see `_fabric`).

    Raises:
        BadArgumentError: `out` holds a run and `resume` is off, or another recipe's run; devices that are not there.
        BadFileError: `out` cannot be written.
        NonFiniteLossError: the loss or its gradient is not a number; the batch is saved beside the checkpoint.
    """
    fabric = _fabric(accelerator, devices, nodes, recipe.student.precision)
    if fabric.device.type == "cpu":
        keep_freed_memory()
    last = check_out(out, resume=resume)
    saved = load_checkpoint(last) if last.exists() else None
    if saved and not {"step", "seconds", "stage", "network", "ema", "optimizer"} <= set(saved):
        raise BadFileError(f"{last} is not a checkpoint of a run: give the folder of one, or take the file away.")
    resident = None
    if recipe.sampling.augment_on == "device":
        resident = DeviceStore(data.train, fabric.device, agreement_mask=recipe.distillation.agreement_mask)
    clock = Clock(saved["step"], saved["seconds"]) if saved else Clock()
    current = saved["stage"] if saved else 0
    weights = saved["network"] if saved else init
    ema_state = saved["ema"] if saved else init
    optimizer_state = saved["optimizer"] if saved else None
    aside = {name: saved[name] for name in ASIDE if saved.get(name)} if saved else {}
    origin = Origin(**saved.get("origin", {})) if saved else origin or Origin()
    with contextlib.ExitStack() as stack:
        log = None
        if fabric.is_global_zero:
            log = RunLog(out, recipe.name, recipe.records.log_every, clock.step, clock.progress(recipe.schedule))
            stack.enter_context(log)
        while clock.progress(recipe.schedule) < 1.0:
            torch.manual_seed(recipe.sampling.seed)
            network = network_for(current, recipe, weights)
            weights, ema_state = _run_stage(
                fabric,
                recipe,
                current,
                network,
                ema_state,
                optimizer_state,
                aside,
                data,
                resident,
                clock,
                out,
                log,
                origin,
            )
            optimizer_state, aside = None, {}
            finished = current
            if clock.progress(recipe.schedule) < 1.0:
                weights, ema_state = grown_state(recipe, current, weights), grown_state(recipe, current, ema_state)
                current = stage_index(recipe, clock.progress(recipe.schedule))
            if fabric.is_global_zero:
                _save(out, clock, current, weights, ema_state, None, {}, origin)
                if clock.progress(recipe.schedule) >= 1.0:
                    _save_weights(out, recipe, finished, ema_state, clock, origin)
            fabric.barrier()
    return out / "weights.safetensors"


def check_nodes(nodes: int) -> None:
    """Raises BadArgumentError where a node cannot find the others."""
    if nodes > 1 and not {"MASTER_ADDR", "SLURM_NTASKS"} & set(os.environ):
        raise BadArgumentError(
            f"{nodes} nodes: start the command on each with MASTER_ADDR, MASTER_PORT and NODE_RANK set, or under SLURM."
        )


def check_out(out: Path, *, resume: bool) -> Path:
    """Make a run's folder where there is none; returns the path of its checkpoint.

    Raises:
        BadArgumentError: it holds a run and `resume` is off. BadFileError: it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadFileError(f"Cannot write the run's folder {out}: {error.strerror or error}.") from error
    last = out / "last.ckpt"
    if last.exists() and not resume:
        raise BadArgumentError(f"{out} already holds a run: add --resume to go on, or choose another folder.")
    return last


def _fabric(accelerator: str, devices: int, nodes: int, precision: Any) -> Fabric:
    """The processes that train together, launched.

    Several nodes find each other as torchrun, SLURM and Lightning have it: MASTER_ADDR, MASTER_PORT and NODE_RANK.

    Raises:
        BadArgumentError: the addresses of the other nodes are missing, or devices are not there.
    """
    check_nodes(nodes)
    together = devices * nodes > 1
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            precision=precision,
            strategy="ddp" if together else "auto",
        )
    except (MisconfigurationException, ValueError) as error:
        raise BadArgumentError(f"Cannot train on {devices} devices: {' '.join(str(error).split())}") from error
    if together:
        fabric.launch()
    return fabric


def _run_stage(
    fabric: Fabric,
    recipe: Recipe,
    number: int,
    network: nn.Module,
    ema_state: dict[str, Tensor] | None,
    optimizer_state: dict[str, Any] | None,
    aside: dict[str, dict[str, Tensor]],
    data: Prepared,
    resident: DeviceStore | None,
    clock: Clock,
    out: Path,
    log: RunLog | None,
    origin: Origin,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    stage, grid = recipe.stages[number], grid_of(recipe.stages[number])
    network = network.to(memory_format=torch.channels_last).train()
    if fabric.device.type == "cpu":
        use_fast_kernels(network)
    freeze(network, recipe.student.frozen)
    ema = Ema(network, recipe.optimizer.ema_decay)
    if ema_state is not None:
        ema.state = {k: v.clone() for k, v in ema_state.items()}
    distiller = distiller_for(recipe.cdkd, network, recipe.skeleton, grid)
    trained = Trained(network, distiller)
    trained.load_aside(aside)
    optimizer = optimizer_for(trained, recipe)
    if optimizer_state is not None:
        optimizer.load_state_dict(optimizer_state)
    wrapped, optimizer = fabric.setup(trained, optimizer)
    per_device = max(1, stage.batch_size // fabric.world_size)

    if recipe.student.compiled:
        network.get_submodule("backbone").compile()  # in place: names of parameters stay

    def draw(step: int) -> Batch | DeviceBatch:
        strength = recipe.augmentation
        if Clock(step, clock.seconds).progress(recipe.schedule) >= recipe.schedule.mild_from:
            strength = strength.mild()
        rng = np.random.default_rng([recipe.sampling.seed, fabric.global_rank, step])
        wide_wh = distiller.teacher.size_wh if distiller is not None else None
        if resident is not None:
            drawing = (rng, per_device, grid, strength)
            return resident.draw(*drawing, sampling_power=recipe.sampling.sampling_power, wide_wh=wide_wh)
        return draw_batch(
            *(data.train, rng, per_device, grid, strength),
            agreement_mask=recipe.distillation.agreement_mask,
            sampling_power=recipe.sampling.sampling_power,
            online=data.online,
            wide_wh=wide_wh,
        )

    started, base_seconds, records = time.monotonic(), clock.seconds, recipe.records
    next_save = base_seconds + 60 * records.checkpoint_minutes
    next_validation = base_seconds + 60 * records.validate_minutes
    with ThreadPoolExecutor(recipe.sampling.draw_ahead) as pool:
        pending = deque(pool.submit(draw, clock.step + i) for i in range(recipe.sampling.draw_ahead))
        while (progress := clock.progress(recipe.schedule)) < 1.0 and stage_index(recipe, progress) == number:
            batch = pending.popleft().result()
            pending.append(pool.submit(draw, clock.step + recipe.sampling.draw_ahead))
            lr = learning_rate(recipe, clock.step, progress)
            for group in optimizer.param_groups:
                group["lr"] = lr * group["factor"]
            parts = losses(wrapped, batch, grid, recipe, fabric.device, progress)
            if not torch.isfinite(parts["total"]):
                _save_bad_batch(out, batch, clock.step, "loss")
            optimizer.zero_grad()
            fabric.backward(parts["total"])
            limit = recipe.optimizer.clip_norm
            norm = fabric.clip_gradients(wrapped, optimizer, max_norm=limit, error_if_nonfinite=False)
            if norm is not None and not torch.isfinite(norm):
                _save_bad_batch(out, batch, clock.step, "gradient")
            optimizer.step()
            if distiller is not None:
                distiller.curriculum.step(lr)
            clock.step += 1
            ema.update(network, clock.step)
            # All devices must agree on when a stage ends: the first one's clock counts.
            seconds = base_seconds + time.monotonic() - started
            clock.seconds = float(fabric.broadcast(seconds)) if fabric.world_size > 1 else seconds
            if log is not None:
                more = {"stage": number, "lr": lr, "grad_norm": round(float(norm or 0), 3)}
                seen = per_device * fabric.world_size
                log.trained(clock.step, clock.seconds, clock.progress(recipe.schedule), seen, parts, **more)
            if clock.seconds >= next_save:
                next_save = clock.seconds + 60 * records.checkpoint_minutes
                if fabric.is_global_zero:
                    state = {k: v.detach().cpu() for k, v in network.state_dict().items()}
                    _save(out, clock, number, state, ema.state, optimizer.state_dict(), trained.aside(), origin)
                fabric.barrier()
            if data.held_out and clock.seconds >= next_validation:
                next_validation = clock.seconds + 60 * records.validate_minutes
                if log is not None:
                    score = held_out_pck(network_for(number, recipe, ema.state), grid, data.held_out)
                    log.validated(clock.step, clock.seconds, score)
                fabric.barrier()
    return {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}, ema.state


def _save(
    out: Path,
    clock: Clock,
    stage: int,
    network: dict[str, Tensor],
    ema: dict[str, Tensor],
    optimizer: dict[str, Any] | None,
    aside: dict[str, dict[str, Tensor]],
    origin: Origin,
) -> None:
    content = {
        "origin": dataclasses.asdict(origin),
        "step": clock.step,
        "seconds": clock.seconds,
        "stage": stage,
        "network": network,
        "ema": ema,
    }
    save_checkpoint(out / "last.ckpt", {**content, "optimizer": optimizer, **aside})


def _save_weights(
    out: Path, recipe: Recipe, stage: int, state: dict[str, Tensor], clock: Clock, origin: Origin
) -> None:
    grid, student = grid_of(recipe.stages[stage]), recipe.student
    head: SimccOutput | HeatmapOutput = SimccOutput(split=grid.split, sigma_bins=grid.sigma_bins)
    if student.network.startswith("heatmap-"):
        head = heatmap_output(grid.size_wh, int(student.network.removeprefix("heatmap-")))
    spent = f"{clock.step} steps, {clock.seconds / 3600:.1f} h, seed {recipe.sampling.seed}"
    description = ModelDescription(
        # A file's name: those of shipped models have no underscores.
        name=recipe.name.replace("_", "-"),
        skeleton=recipe.skeleton,
        size_wh=grid.size_wh,
        padding=PADDING,
        head=head,
        licence=_licence(origin),
        source=f"poseunion train {recipe.name}: {spent}"
        + (f"; fine-tuned from ({origin.source})" if origin.source else ""),
    )
    spec = NetworkSpec(network=student.network, backbone=student.backbone)
    save_weights(out / "weights.safetensors", state, spec, description)


def _licence(origin: Origin) -> str:
    """Of the trained weights: the code's, the pictures', and that of weights from elsewhere that they began as."""
    if not origin.licence or origin.licence.startswith(LICENCE):
        return origin.licence or LICENCE
    return f"{LICENCE}; began as weights under {origin.licence}"


def _save_bad_batch(out: Path, batch: Batch | DeviceBatch, step: int, what: str) -> None:
    batch = batch.on_host() if isinstance(batch, DeviceBatch) else batch
    path = out / f"not-finite-{step}.npz"
    with atomic_writer(path) as file:
        np.savez(file, image=batch.image_NHW3, xy=batch.xy_NK2, weight=batch.weight_NK)
    raise NonFiniteLossError(
        f"The {what} at step {step} is not a number; its batch is in {path}: lower lr, or inspect the batch."
    )
