"""Published bodies as SimCC networks: what holds for each of them."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from poseunion.models.codec.simcc import SimccGrid  # noqa: E402
from poseunion.models.networks.build import build_network  # noqa: E402
from poseunion.models.networks.published_simcc import PUBLISHED, PublishedSimcc  # noqa: E402

each_network = pytest.mark.parametrize("name", ["lite-hrnet", "movenet"])


def network(name: str, keypoints: int = 21) -> PublishedSimcc:
    torch.manual_seed(0)
    built = build_network(name, "", keypoints, SimccGrid((64, 96)))
    assert isinstance(built, PublishedSimcc)
    return built.eval()


@each_network
def test_shapes(name: str) -> None:
    with torch.no_grad():
        x, y = network(name)(torch.randn(3, 3, 96, 64))
    assert (x.shape, y.shape) == ((3, 21, 128), (3, 21, 192))


@each_network
def test_features_then_heatmaps_then_axes_is_the_whole(name: str) -> None:
    one, image = network(name), torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        heat = one.heatmaps(one.features(image))
        torch.testing.assert_close(heat, one.heatmap_logits(image))
        parts, whole = one.axes(heat), one(image)
    for a, b in zip(parts, whole, strict=True):
        torch.testing.assert_close(a, b)


@each_network
def test_added_keypoints_leave_the_published_ones_alone(name: str) -> None:
    many, few, image = network(name, 21), network(name, PUBLISHED), torch.randn(1, 3, 96, 64)
    few.backbone.load_state_dict(many.backbone.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(many.heatmap_logits(image)[:, :PUBLISHED], few.heatmap_logits(image))
