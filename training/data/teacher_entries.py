"""Teachers of a data file: a network, or several read as one with weights and turned pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from poseunion.models.inference.joint_turns import Turns


class MemberEntry(BaseModel):
    """One network of a joint teacher, see `joint.JointTeacher`.

    Attributes:
        weight: of all its keypoints.
        weights: of single ones in its stead; a name without its side stands for both sides.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path
    description: Path | None = None
    weight: float = Field(default=1.0, ge=0)
    weights: dict[str, Annotated[float, Field(ge=0)]] = {}


class TeacherEntry(BaseModel):
    """One teacher of a data file: an ONNX file and the TOML that describes it, or the name of a shipped model.

    Attributes:
        members: networks that are read as one teacher, in place of `model`.
        turns: whose pictures the members read turned, too (`joint_turns.Turns`).
        keypoints: the only ones that it teaches; by default all that it predicts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path | None = None
    description: Path | None = None
    members: list[MemberEntry] = []
    turns: Turns = Turns.NONE
    keypoints: list[str] | None = None
    flip: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> TeacherEntry:
        if (self.model is None) != bool(self.members) or (self.members and self.description):
            raise ValueError("give a teacher either a model or the members of a joint teacher")
        if self.turns is not Turns.NONE and not self.members:
            raise ValueError("turns is a setting of a joint teacher, which has members")
        return self
