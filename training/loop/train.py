"""The training loop.

The random generator of step s on device r is seeded with (seed, r, s): a resumed run draws the same people as one that
was never stopped.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor

from poseunion.models.codec.heads import HeatmapOutput, SimccOutput
from poseunion.models.errors import BadArgumentError, BadFileError, PoseUnionError
from poseunion.models.files import atomic_writer
from poseunion.models.networks.weights import NetworkSpec, save_weights
from poseunion.models.runtime.description import ModelDescription
from poseunion.training.cdkd.distiller import distiller_for
from poseunion.training.config.recipe import Recipe
from poseunion.training.data.crop_store import PADDING
from poseunion.training.loop.batch import Batch, draw_batch
from poseunion.training.loop.checkpoint import Ema, RunState, Weights
from poseunion.training.loop.cpu_kernels import keep_freed_memory, use_fast_kernels
from poseunion.training.loop.device_batch import DeviceBatch, DeviceStore
from poseunion.training.loop.log import RunLog
from poseunion.training.loop.losses import heatmap_output
from poseunion.training.loop.optimizer import freeze
from poseunion.training.loop.prepare import Prepared
from poseunion.training.loop.schedule import Clock, cosine, warm_up
from poseunion.training.loop.stages import Origin, grid_of, grown_state, network_for, stage_index, trained_licence
from poseunion.training.loop.step import Trained, losses, optimizer_for
from poseunion.training.loop.validate import held_out_pck, held_out_table


class NonFiniteLossError(PoseUnionError):
    """The loss or its gradient is not a number."""


@dataclass(frozen=True)
class _Run:
    """Settings and data that stay the same over the stages of a run.

    Attributes:
        resident: people on the device, where they are augmented there.
        log: on the first process only.
    """

    fabric: Fabric
    recipe: Recipe
    data: Prepared
    resident: DeviceStore | None
    out: Path
    log: RunLog | None


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
        origin: origin of `init`, see `origin_of`.
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
    state = RunState.load(last) if last.exists() else RunState(network=init, ema=init, origin=origin or Origin())
    resident = None
    if recipe.sampling.augment_on == "device":
        resident = DeviceStore(data.train, fabric.device, agreement_mask=recipe.distillation.agreement_mask)
    clock, schedule = state.clock, recipe.schedule
    with contextlib.ExitStack() as stack:
        log = None
        if fabric.is_global_zero:
            log = RunLog(out, recipe.name, recipe.records.log_every, clock.step, clock.progress(schedule))
            stack.enter_context(log)
        run = _Run(fabric, recipe, data, resident, out, log)
        while (progress := clock.progress(schedule)) < 1.0:
            number = state.stage
            network, ema = _train_stage(run, state)
            state = RunState(clock, number, network, ema, origin=state.origin)
            if (progress := clock.progress(schedule)) < 1.0:
                state.network, state.ema = grown_state(recipe, number, network), grown_state(recipe, number, ema)
                state.stage = stage_index(recipe, progress)
            if fabric.is_global_zero:
                state.save(last)
                if progress >= 1.0:
                    _save_weights(out, recipe, state)
                    _show_held_out(run, state)
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

    Several nodes find each other as with torchrun, SLURM and Lightning: by MASTER_ADDR, MASTER_PORT and NODE_RANK.

    Raises:
        BadArgumentError: a node cannot find the others, or devices are not there.
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


def _train_stage(run: _Run, start: RunState) -> tuple[Weights, Weights]:
    """Train until the stage or the budget ends, and move the clock; returns the weights and their average."""
    fabric, recipe, data, clock, number = run.fabric, run.recipe, run.data, start.clock, start.stage
    stage, grid = recipe.stages[number], grid_of(recipe.stages[number])
    torch.manual_seed(recipe.sampling.seed)
    network = network_for(number, recipe, start.network).to(memory_format=torch.channels_last).train()
    if fabric.device.type == "cpu":
        use_fast_kernels(network)
    ema = Ema(network, recipe.optimizer.ema_decay, start.ema)
    distiller = distiller_for(recipe.cdkd, network, recipe.skeleton, grid)
    # Last, since frozen batch norms are in evaluation mode, which the distiller's probe of the network would end.
    freeze(network, recipe.student.frozen)
    if distiller is not None and start.distiller is not None:
        distiller.load_state_dict(start.distiller)
    trained = Trained(network, distiller)
    optimizer = optimizer_for(trained, recipe)
    if start.optimizer is not None:
        optimizer.load_state_dict(start.optimizer)
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
        power = recipe.sampling.sampling_power
        if run.resident is not None:
            return run.resident.draw(rng, per_device, grid, strength, sampling_power=power, wide_wh=wide_wh)
        return draw_batch(
            *(data.train, rng, per_device, grid, strength),
            agreement_mask=recipe.distillation.agreement_mask,
            sampling_power=power,
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
                _save_bad_batch(run.out, batch, clock.step, "loss")
            optimizer.zero_grad()
            fabric.backward(parts["total"])
            limit = recipe.optimizer.clip_norm
            norm = fabric.clip_gradients(wrapped, optimizer, max_norm=limit, error_if_nonfinite=False)
            if norm is not None and not torch.isfinite(norm):
                _save_bad_batch(run.out, batch, clock.step, "gradient")
            optimizer.step()
            if distiller is not None:
                distiller.curriculum.step(lr)
            clock.step += 1
            ema.update(network, clock.step)
            # A stage must end at the same step on all devices: the first one's clock counts.
            seconds = base_seconds + time.monotonic() - started
            clock.seconds = float(fabric.broadcast(seconds)) if fabric.world_size > 1 else seconds
            if run.log is not None:
                more = {"stage": number, "lr": lr, "grad_norm": round(float(norm or 0), 3)}
                people = per_device * fabric.world_size
                run.log.trained(clock.step, clock.seconds, clock.progress(recipe.schedule), people, parts, **more)
            if clock.seconds >= next_save:
                next_save = clock.seconds + 60 * records.checkpoint_minutes
                if fabric.is_global_zero:
                    weights = {k: v.detach().cpu() for k, v in network.state_dict().items()}
                    learned = distiller.state_dict() if distiller is not None else None
                    state = RunState(clock, number, weights, ema.state, optimizer.state_dict(), learned, start.origin)
                    state.save(run.out / "last.ckpt")
                fabric.barrier()
            if data.held_out and clock.seconds >= next_validation:
                next_validation = clock.seconds + 60 * records.validate_minutes
                if run.log is not None:
                    score = held_out_pck(network_for(number, recipe, ema.state), grid, data.held_out)
                    run.log.validated(clock.step, clock.seconds, score)
                fabric.barrier()
    return {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}, ema.state


def _save_weights(out: Path, recipe: Recipe, state: RunState) -> None:
    assert state.ema is not None
    grid, student, clock, origin = grid_of(recipe.stages[state.stage]), recipe.student, state.clock, state.origin
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
        licence=trained_licence(origin.licence),
        source=f"poseunion train {recipe.name}: {spent}"
        + (f"; fine-tuned from ({origin.source})" if origin.source else ""),
    )
    spec = NetworkSpec(network=student.network, backbone=student.backbone)
    save_weights(out / "weights.safetensors", state.ema, spec, description)


def _show_held_out(run: _Run, state: RunState) -> None:
    """The closing table: PCK of the averaged weights on held-out people."""
    held_out = [labelled for labelled in run.data.held_out if len(labelled.rows)]
    if run.log is None:
        return
    if not held_out:
        run.log.show("No labelled picture is held out, so the weights are not measured: poseunion evaluate does.")
        return
    network, grid = network_for(state.stage, run.recipe, state.ema), grid_of(run.recipe.stages[state.stage])
    score = held_out_pck(network, grid, held_out)
    run.log.validated(state.clock.step, state.clock.seconds, score, "\n" + held_out_table(score, held_out) + "\n")


def _save_bad_batch(out: Path, batch: Batch | DeviceBatch, step: int, what: str) -> None:
    path = out / f"not-finite-{step}.npz"
    image, xy, weight = (torch.as_tensor(a).cpu().numpy() for a in (batch.image_NHW3, batch.xy_NK2, batch.weight_NK))
    with atomic_writer(path) as file:
        np.savez(file, image=image, xy=xy, weight=weight)
    raise NonFiniteLossError(
        f"The {what} at step {step} is not a number; its batch is in {path}: lower lr, or inspect the batch."
    )
