"""The training loop of the detector.

The random generator of step s is seeded with (seed, s): a resumed run draws the same pictures as one that was never
stopped.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from poseunion.models.errors import BadFileError
from poseunion.models.inference.detector import DetectorDescription
from poseunion.models.networks.inputs import normalise
from poseunion.models.networks.person_detector import PersonDetector, save_detector
from poseunion.training.detector.losses import detector_losses
from poseunion.training.detector.recipe import DetectorRecipe
from poseunion.training.detector.validate import describe, held_out_recall
from poseunion.training.detector.views import PictureBatch, Pictures, draw_pictures
from poseunion.training.loop.checkpoint import Ema, load_checkpoint, save_checkpoint
from poseunion.training.loop.cpu_kernels import keep_freed_memory, use_fast_kernels
from poseunion.training.loop.log import RunLog
from poseunion.training.loop.optimizer import adamw
from poseunion.training.loop.optimizer import freeze as freeze_parts
from poseunion.training.loop.schedule import Clock, cosine, warm_up
from poseunion.training.loop.train import NonFiniteLossError, check_out

_SAVED = {"step", "seconds", "network", "ema", "optimizer"}


def freeze(network: PersonDetector, stages: int) -> None:
    """Freeze the stem and the first stages of the backbone; 0 freezes nothing."""
    if stages:
        numbers = range(min(stages, len(network.backbone.stages)))
        freeze_parts(network, ["backbone.stem", *(f"backbone.stages.{i}" for i in numbers)])


def fit_detector(
    recipe: DetectorRecipe,
    train: Sequence[Pictures],
    held_out: Sequence[Pictures],
    network: PersonDetector,
    out: Path,
    *,
    origin: DetectorDescription | None = None,
    resume: bool = False,
) -> Path:
    """Train a detector; returns the path of its averaged weights.

    `out` gets `last.ckpt` (for resuming), `log.jsonl`, `tensorboard/` and, when the run is over, `weights.safetensors`.

    Args:
        network: the start; it is changed. A run that is resumed goes on from its own.
        origin: of the start weights.

    Raises:
        BadArgumentError: `out` holds a run and `resume` is off. BadFileError: `out` cannot be written, or holds another
            kind of run. NonFiniteLossError: the loss is not a number.
    """
    keep_freed_memory()
    last = check_out(out, resume=resume)
    saved = load_checkpoint(last) if last.exists() else None
    if saved is not None and set(saved) != _SAVED:
        raise BadFileError(f"{last} is not a checkpoint of a detector's run: give another folder.")
    if saved:
        network.load_state_dict(saved["network"])
    network = network.to(memory_format=torch.channels_last)
    freeze(network, recipe.frozen)
    use_fast_kernels(network.train())
    ema = Ema(network, recipe.optimizer.ema_decay, saved["ema"] if saved else None)
    # Folded batch norm: rows of very different scale, in pyramid and heads as in the backbone.
    optimizer = adamw(network.named_parameters(), recipe.optimizer, relative="")
    if saved:
        optimizer.load_state_dict(saved["optimizer"])
    clock = Clock(saved["step"], saved["seconds"]) if saved else Clock()
    schedule, records = recipe.schedule, recipe.records

    def draw(step: int) -> PictureBatch:
        progress = Clock(step, clock.seconds).progress(schedule)
        rng, side = np.random.default_rng([recipe.seed, step]), recipe.side_at(progress)
        return draw_pictures(train, rng, recipe.batch_size, side, recipe, mild=progress >= schedule.mild_from)

    def save() -> None:
        state = {k: v.detach() for k, v in network.state_dict().items()}
        content = {"step": clock.step, "seconds": clock.seconds, "network": state, "ema": ema.state}
        save_checkpoint(last, {**content, "optimizer": optimizer.state_dict()})

    started, base = time.monotonic(), clock.seconds
    next_save, next_validation = base + 60 * records.checkpoint_minutes, base + 60 * records.validate_minutes
    with (
        RunLog(out, recipe.name, records.log_every, clock.step, clock.progress(schedule)) as log,
        ThreadPoolExecutor(1) as pool,
    ):
        pending = deque([pool.submit(draw, clock.step)])
        while (progress := clock.progress(schedule)) < 1.0:
            batch = pending.popleft().result()
            pending.append(pool.submit(draw, clock.step + 1))
            lr = recipe.optimizer.lr * warm_up(schedule, clock.step) * cosine(schedule, progress)
            for group in optimizer.param_groups:
                group["lr"] = lr * group["factor"]
            parts = step_losses(network, batch)
            if not torch.isfinite(parts["total"]):
                raise NonFiniteLossError(f"The loss at step {clock.step} is not a number: lower lr.")
            optimizer.zero_grad()
            parts["total"].backward()
            norm = nn.utils.clip_grad_norm_(network.parameters(), recipe.optimizer.clip_norm)
            optimizer.step()
            clock.step += 1
            ema.update(network, clock.step)
            clock.seconds = base + time.monotonic() - started
            more = {"side": float(batch.image_NSS3.shape[1]), "lr": lr, "grad_norm": round(float(norm), 3)}
            log.trained(clock.step, clock.seconds, clock.progress(schedule), recipe.batch_size, parts, **more)
            if clock.seconds >= next_save:
                next_save = clock.seconds + 60 * records.checkpoint_minutes
                save()
            if held_out and clock.seconds >= next_validation:
                next_validation = clock.seconds + 60 * records.validate_minutes
                averaged = PersonDetector()
                averaged.load_state_dict(ema.state)
                averaged = averaged.to(memory_format=torch.channels_last)
                log.validated(clock.step, clock.seconds, held_out_recall(averaged, recipe.side, held_out))
    save()
    weights = out / "weights.safetensors"
    hours = f"{clock.step} steps, {clock.seconds / 3600:.1f} h, seed {recipe.seed}"
    source = f"poseunion train-detector: {hours}" + (f"; fine-tuned from ({origin.source})" if origin else "")
    description = describe(recipe.name, recipe.side, source, licence=origin.licence if origin else "")
    save_detector(weights, ema.state, description)
    return weights


def step_losses(network: PersonDetector, batch: PictureBatch) -> dict[str, Tensor]:
    """The parts of one batch's loss."""
    height, width = batch.image_NSS3.shape[1:3]
    outputs = network(normalise(torch.from_numpy(batch.image_NSS3)))
    corner = [torch.from_numpy(c) for c in batch.corner]
    return detector_losses(outputs, corner, [torch.from_numpy(i) for i in batch.ignored], (width, height))
