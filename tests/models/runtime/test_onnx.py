from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.typing import NDArray

from poseunion.models.errors import BadArgumentError, BadFileError, DeviceError, ModelError
from poseunion.models.inference.predictor import load_predictor, open_model
from poseunion.models.runtime.base import cores
from poseunion.models.runtime.onnx import CPU, DEVICES, OnnxModel
from poseunion.models.zoo import model_path

UNIFIED = model_path("unified")


def picture(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (60, 80, 3), np.uint8).repeat(4, 0).repeat(4, 1)


def boxes(number: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(number)
    return np.concatenate([rng.uniform(0, 150, (number, 2)), rng.uniform(40, 120, (number, 2))], 1)


def crops(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (number, 256, 192, 3), np.uint8)


def _is_here(device: str) -> bool:
    try:
        OnnxModel(UNIFIED, device=device, threads=1)
    except DeviceError:
        return False
    return True


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_an_absent_device_is_an_error_unless_a_fallback_is_allowed(device: str) -> None:
    if _is_here(device):
        pytest.skip(f"{device} is here")
    with pytest.raises(
        DeviceError, match=f"{DEVICES[device][0]} was requested, but unified.onnx would run on"
    ) as error:
        load_predictor("unified", device=device, threads=1)
    assert error.value.exit_code == 2
    fallen = load_predictor("unified", device=device, threads=1, allow_fallback=True)
    assert fallen.provider in DEVICES[device][1:]  # and it says where
    on_cpu = load_predictor("unified", threads=1)
    np.testing.assert_array_equal(fallen(picture(), boxes(2)).xy, on_cpu(picture(), boxes(2)).xy)


def test_names_and_numbers_that_cannot_be() -> None:
    with pytest.raises(BadArgumentError, match="choose cpu, cuda, tensorrt"):
        OnnxModel(UNIFIED, device="npu")
    for threads in (0, -1, 10**6):
        with pytest.raises(BadArgumentError, match="threads"):
            OnnxModel(UNIFIED, threads=threads)
    with pytest.raises(BadFileError, match=r"No model file nowhere\.engine"):
        open_model("nowhere.engine")


def test_a_batch_that_the_file_does_not_take_is_one_sentence() -> None:
    with pytest.raises(ModelError, match="cannot run") as error:
        OnnxModel(UNIFIED, threads=1).run(crops(1)[:, :100])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("people", [1, 2, 3, 7])
def test_people_side_by_side_are_the_same_as_one_after_the_other(people: int) -> None:
    alone, together = load_predictor("unified", threads=1), load_predictor("unified", threads=2)
    assert (alone.model.threads, together.model.threads) == (1, 2)
    a, b = alone(picture(), boxes(people)), together(picture(), boxes(people))
    np.testing.assert_allclose(a.xy, b.xy, atol=1e-2)
    np.testing.assert_allclose(a.score, b.score, atol=1e-5)
    np.testing.assert_array_equal(a.box_xywh, b.box_xywh)


def test_threads_do_not_change_a_call() -> None:
    one, two = (OnnxModel(UNIFIED, threads=n).run(crops(3)) for n in (1, 2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_crops_that_run_one_by_one_have_the_outputs_of_a_batch() -> None:
    model = OnnxModel(UNIFIED, threads=1)
    fed = model.normalise(crops(3))
    together = model.session.run(model.output_names, {model.description.input: fed})
    for a, b in zip(model.forward(fed), together, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_model_alone_is_opened_once_and_travels() -> None:
    model = OnnxModel(UNIFIED)
    assert model.threads == cores()
    wide = OnnxModel(UNIFIED, threads=2)
    assert wide.alone() is wide.alone()
    assert wide.alone().threads == 1
    assert wide.alone().alone() is wide.alone()
    sent = pickle.loads(pickle.dumps(wide))
    assert (sent.threads, sent.provider, sent.sha256) == (2, CPU, wide.sha256)
