"""Which categories of a COCO file, or classes of a YOLO dataset, are people that the model may complete.

A category counts if its keypoints are the file's skeleton and its name is not an animal's; `--category` chooses by name
or id and overrides both tests. What does not count is passed through whole, with its name as the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from poseunion.annotate.formats.types import ANIMAL, OTHER_CATEGORY

# Supercategories and names that animal datasets give (AP-10K, Animal-Pose, MacaquePose, OpenMonkeyChallenge, COCO's own
# animals): several of them use the keypoint names of people.
_ANIMAL_NAMES = """
    animal animals mammal bird birds fish reptile insect felidae canidae bovidae equidae ursidae hominidae
    cercopithecidae cervidae leporidae muridae suidae primate primates ape apes monkey monkeys macaque macaca baboon
    chimpanzee chimp bonobo gorilla orangutan gibbon lemur marmoset dog dogs cat cats horse horses zebra cow cows
    cattle sheep goat pig pigs deer antelope elephant bear giraffe lion tiger leopard cheetah jaguar panther wolf
    fox rabbit hare squirrel rat mouse mice hamster rodent raccoon beaver otter weasel skunk panda kangaroo camel
    donkey mule bison buffalo moose rhino rhinoceros hippo hippopotamus fly drosophila locust bee ant worm zebrafish
    chicken duck penguin
"""
ANIMALS = frozenset(_ANIMAL_NAMES.split())


def is_animal(name: str, supercategory: str = "") -> bool:
    """Whether a category holds animals by its name or supercategory.

    >>> is_animal("macaque"), is_animal("Snow_Leopard"), is_animal("goalkeeper"), is_animal("x", "animal")
    (True, True, False, True)
    """
    words = f"{name} {supercategory}".lower().replace("-", " ").replace("_", " ").split()
    return not ANIMALS.isdisjoint(words)


def is_chosen(wanted: Sequence[str], number: Any, name: str) -> bool:
    """Whether the category is among those of `--category`, by its name or its id."""
    return name in wanted or str(number) in wanted


def reason_of(number: Any, name: str | None, *, animal: bool = False) -> str:
    """Why a category's records are passed through, with its name."""
    return f"{ANIMAL if animal else OTHER_CATEGORY}: {name if name is not None else f'id {number}, which has no name'}"


def unknown_choice(wanted: Sequence[str], names: dict[Any, str]) -> str | None:
    """The sentence for a `--category` that the file does not have; None where it has them all."""
    missing = [w for w in wanted if not any(is_chosen((w,), number, name) for number, name in names.items())]
    if not missing:
        return None
    return f"no category {missing[0]!r}: the file has {', '.join(names.values())}"
