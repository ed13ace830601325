"""A widened RTMPose answers as the small one did, and its new channels learn."""

import pytest
import torch

from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadArgumentError
from poseunion.models.networks.rtmpose import RTMPose
from poseunion.models.networks.widen import can_widen, widened

GRID = SimccGrid((64, 96))


def lively(size: str = "t") -> RTMPose:
    """A network whose every number matters: no zeros, no batch norm at its start."""
    torch.manual_seed(0)
    network = RTMPose(size, 5, GRID)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter) * (parameter.dim() == 1))
        network.head.final_layer.weight.normal_(std=0.1)
        for _ in range(3):
            network.train()(torch.randn(4, 3, 96, 64))  # the batch norms' means and variances
    return network


def test_the_answer_stays() -> None:
    small = lively().eval()
    big = widened(small, "s")
    image = torch.randn(3, 3, 96, 64)
    assert not big.training
    assert big.size == "s"
    assert big.grid == small.grid
    assert sum(p.numel() for p in big.parameters()) > 1.4 * sum(p.numel() for p in small.parameters())
    with torch.no_grad():
        for ours, theirs in zip(big(image), small(image), strict=True):
            assert theirs.abs().max() > 1e-3
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_new_channels_and_blocks_learn() -> None:
    big = widened(lively().train(), "s")
    optimizer = torch.optim.SGD(big.parameters(), 0.1)
    for _ in range(2):  # what reads the new channels is 0 before the first step
        optimizer.zero_grad()
        sum(out.square().mean() for out in big(torch.randn(4, 3, 96, 64))).backward()
        optimizer.step()
    still = [name for name, p in big.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not still


@pytest.mark.parametrize(("small", "size"), [("s", "t"), ("t", "t"), ("s", "m"), ("t", "l"), ("t", "x")])
def test_what_cannot_be_widened_is_said(small: str, size: str) -> None:
    assert not can_widen(small, size)
    with pytest.raises(BadArgumentError, match="only t can become s"):
        widened(lively(small), size)
