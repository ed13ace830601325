"""Settings of a frozen configuration, changed by name or path."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poseunion.models.errors import BadArgumentError
from poseunion.training.config.overrides import changed, differences, with_overrides
from poseunion.training.config.recipe import Recipe
from poseunion.training.config.recipes import RECIPES
from poseunion.training.detector.recipe import DetectorRecipe

LEAVES = [
    (f"{group.name}.{leaf.name}", leaf.name)
    for group in dataclasses.fields(Recipe)
    if dataclasses.is_dataclass(part := getattr(Recipe("any"), group.name))
    for leaf in dataclasses.fields(part)
]


@given(lr=st.floats(1e-9, 10), steps=st.integers(1, 10**9), alpha=st.floats(0, 1))
def test_a_setting_is_what_it_was_set_to_and_nothing_else_moves(lr: float, steps: int, alpha: float) -> None:
    recipe = Recipe("any")
    found = with_overrides(recipe, [f"lr={lr}", f"schedule.steps={steps}", f"alpha={alpha}"])
    assert (found.optimizer.lr, found.schedule.steps, found.distillation.alpha) == (lr, steps, alpha)
    back = {"lr": recipe.optimizer.lr, "steps": recipe.schedule.steps, "alpha": recipe.distillation.alpha}
    assert changed(found, **back) == recipe


def test_every_setting_is_reached_by_its_path() -> None:
    recipe = Recipe("any")
    for path, _ in LEAVES:
        group, leaf = path.split(".")
        assert changed(recipe, **{path: getattr(getattr(recipe, group), leaf)}) == recipe


def test_what_differs_from_a_recipe_is_named_by_its_path() -> None:
    recipe = RECIPES["unified"]()
    assert differences(recipe, recipe) == []
    other = with_overrides(recipe, ["steps=20", "stages.batch_size=16"])
    assert differences(other, recipe) == [
        "stages.0.batch_size=16 (32)",
        f"schedule.steps=20 ({recipe.schedule.steps})",
    ]


def test_a_name_means_one_setting_of_a_recipe() -> None:
    """Only paper B's weights share names with those of paper A's distillation, and these are meant."""
    names = [name for _, name in LEAVES]
    assert {name for name in names if names.count(name) > 1} == {"alpha"}


@pytest.mark.parametrize("make", [*RECIPES.values(), DetectorRecipe])
def test_recipes_survive_their_own_checks(make: Callable[[], Recipe | DetectorRecipe]) -> None:
    assert changed(made := make()) == made


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("lr=0", "optimizer.lr is '0': give a number above 0."),
        ("lr=inf", "optimizer.lr is 'inf': give a finite number."),
        ("alpha=1.5", "distillation.alpha is '1.5': give a number up to 1."),
        ("steps=many", "schedule.steps is 'many': give a whole number."),
        ("online=perhaps", "distillation.online is 'perhaps': give true or false."),
        ("augmentation.scale=2,1", "augmentation.scale is 2,1: give the lower bound first."),
        ("augmentation.scale=2", "augmentation.scale is 2: give more values."),
        ("task_loss=l2", "losses.task_loss is 'l2': choose among 'kl' or 'position'."),
        ("stages.1.batch_size=0", "stages.1.batch_size is '0': give a number from 1."),
        ("cdkd.tau=9", "cdkd.tau is 9.0: give a number from 1 to cdkd.tau_most, 5.0."),
        ("name=other", "'name=other' is not an override: write key=value."),
        ("lr", "'lr' is not an override: write key=value."),
    ],
)
def test_a_wrong_value_is_one_sentence(override: str, sentence: str) -> None:
    with pytest.raises(BadArgumentError) as caught:
        with_overrides(Recipe("any"), [override])
    assert str(caught.value) == sentence


def test_the_recipes_are_listed_without_torch() -> None:
    code = (
        "import sys; sys.argv = ['poseunion', 'train', '--list']\n"
        "from poseunion.app.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'lightning', 'timm', 'onnxruntime'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *listed, loaded = result.stdout.splitlines()
    assert loaded == "[]"
    assert [line.split(":")[0] for line in listed] == sorted(RECIPES)
