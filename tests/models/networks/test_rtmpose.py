"""RTMPose: parameter counts and names of the published networks, and the formulas of its head."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from poseunion.models.codec.simcc import SimccGrid  # noqa: E402
from poseunion.models.errors import BadArgumentError  # noqa: E402
from poseunion.models.networks.rtmpose import GatedAttention, RTMPose, ScaleNorm  # noqa: E402

GRID = SimccGrid((192, 256))
SMALL = SimccGrid((96, 128), 4.0)


@pytest.mark.parametrize(("size", "millions"), [("t", 3.412), ("s", 5.574), ("m", 13.738)])
def test_parameter_counts(size: str, millions: float) -> None:
    network = RTMPose(size, 21, GRID)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize("batch", [1, 2])
def test_shapes_and_names_of_the_outputs(batch: int) -> None:
    network = RTMPose("t", 21, GRID).eval()
    with torch.no_grad():
        out = network(torch.zeros(batch, 3, 256, 192))
    assert out._fields == ("simcc_x", "simcc_y")
    assert out.simcc_x.shape == (batch, 21, 384)
    assert out.simcc_y.shape == (batch, 21, 512)


def test_the_answer_for_one_person_does_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    network = RTMPose("t", 17, SMALL).eval()
    images = torch.randn(3, 3, 128, 96)
    with torch.no_grad():
        together, alone = network(images), network(images[1:2])
    torch.testing.assert_close(together.simcc_x[1:2], alone.simcc_x, rtol=1e-4, atol=1e-6)


def test_names_follow_mmpose() -> None:
    names = set(RTMPose("m", 17, GRID).state_dict())
    expected = {
        "backbone.stem.0.conv.weight",
        "backbone.stem.2.bn.running_var",
        "backbone.stage1.0.conv.weight",
        "backbone.stage1.1.main_conv.conv.weight",
        "backbone.stage1.1.short_conv.bn.weight",
        "backbone.stage1.1.final_conv.bn.bias",
        "backbone.stage1.1.blocks.1.conv1.conv.weight",
        "backbone.stage2.1.blocks.3.conv2.depthwise_conv.conv.weight",
        "backbone.stage3.1.blocks.0.conv2.pointwise_conv.bn.num_batches_tracked",
        "backbone.stage3.1.attention.fc.bias",
        "backbone.stage4.0.conv.weight",
        "backbone.stage4.1.conv1.conv.weight",
        "backbone.stage4.1.conv2.bn.weight",
        "backbone.stage4.2.blocks.1.conv1.bn.running_mean",
        "backbone.stage4.2.attention.fc.weight",
        "head.final_layer.weight",
        "head.final_layer.bias",
        "head.mlp.0.g",
        "head.mlp.1.weight",
        "head.gau.gamma",
        "head.gau.beta",
        "head.gau.o.weight",
        "head.gau.uv.weight",
        "head.gau.ln.g",
        "head.gau.res_scale.scale",
        "head.cls_x.weight",
        "head.cls_y.weight",
    }
    assert expected <= names
    assert {n for n in names if n.startswith("head.")} == {n for n in expected if n.startswith("head.")}
    assert not {"backbone.stage3.1.blocks.4.conv1.conv.weight", "backbone.stage4.1.blocks.0.conv1.conv.weight"} & names


def test_scale_norm_divides_by_the_root_mean_square() -> None:
    x = torch.randn(4, 5, 48)
    norm = ScaleNorm(48)
    norm.g.data.fill_(3.0)
    torch.testing.assert_close(norm(x).square().mean(-1).sqrt(), torch.full((4, 5), 3.0))
    assert torch.isfinite(norm(torch.zeros(1, 48))).all()


def test_gated_attention_equals_its_formula() -> None:
    torch.manual_seed(1)
    gau = GatedAttention(8).double()
    for parameter in gau.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 3, 8, dtype=torch.float64)
    p = {n: v.detach().numpy() for n, v in gau.named_parameters()}
    expected = np.zeros((2, 3, 8))
    for n in range(2):  # written token by token, as in the paper
        tokens = x[n].numpy()
        normed = [p["ln.g"] * t / np.sqrt((t**2).mean()) for t in tokens]
        z = [t @ p["uv.weight"].T for t in normed]
        z = [t / (1 + np.exp(-t)) for t in z]
        u, v, base = ([t[a:b] for t in z] for a, b in ((0, 16), (16, 32), (32, 160)))
        for i in range(3):
            mixed = np.zeros(16)
            for j in range(3):
                score = (base[i] * p["gamma"][0] + p["beta"][0]) @ (base[j] * p["gamma"][1] + p["beta"][1])
                mixed += max(score / np.sqrt(128), 0) ** 2 * v[j]
            expected[n, i] = tokens[i] * p["res_scale.scale"] + p["o.weight"] @ (u[i] * mixed)
    np.testing.assert_allclose(gau(x).detach().numpy(), expected, rtol=1e-9)


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    network = RTMPose("t", 21, SMALL)
    out = network(torch.randn(2, 3, 128, 96))
    (out.simcc_x.square().sum() + out.simcc_y.square().sum()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_growing_keeps_the_bins_and_what_the_head_says_of_a_stretched_map() -> None:
    torch.manual_seed(2)
    small = RTMPose("t", 17, SMALL).eval()
    before = copy.deepcopy(small.state_dict())
    big = small.grown().eval()
    assert big.grid.size_wh == (192, 256)
    assert big.grid.bins_wh == small.grid.bins_wh
    flat = torch.full((1, 17, 12), 0.3)
    with torch.no_grad():  # a map without structure gives the same; with structure only its sampling differs
        torch.testing.assert_close(big.head.mlp(torch.full((1, 17, 48), 0.3)), small.head.mlp(flat))
        assert big(torch.zeros(1, 3, 256, 192)).simcc_x.shape == (1, 17, 384)
    for name, value in small.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="one of t, s, m, l"):
        RTMPose("xl", 17, GRID)
