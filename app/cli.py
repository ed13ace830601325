"""`poseunion`: root of the command lines of all rooms.

A room is imported when its command is called: `poseunion --help` needs only the base installation.
"""

from __future__ import annotations

import importlib

import typer
from typer.core import TyperGroup

from poseunion.models import command_line

app = typer.Typer(
    help="Train small pose models across datasets that disagree about the skeleton; complete annotations with them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(version: command_line.VersionOption = False) -> None:
    """Options of the program itself."""


def main() -> None:
    """Run the command line; see `command_line.run`."""
    command_line.run(app, "poseunion")


# Command -> module with its typer app, and its line of help. An app may hold one command or several, this one among
# them. After the command's name everything belongs to the room, --help included.
_COMMANDS = {
    "annotate": (
        "poseunion.annotate.cli.main",
        "Extend, show and check annotation files (also installed as `annotate`).",
    ),
    "models": ("poseunion.models.cli", "List the models and skeletons that come with this installation."),
    "train": ("poseunion.training.cli.main", "Train a student (needs the `train` extra)."),
    "train-detector": ("poseunion.training.cli.main", "Train a person detector (needs the `train` extra)."),
    "pack": (
        "poseunion.training.cli.main",
        "Pack a training set to train from on another machine (needs the `train` extra).",
    ),
    "pair": ("poseunion.training.cli.main", "Put two students side by side in one network (needs the `train` extra)."),
    "average": (
        "poseunion.training.cli.main",
        "Average the weights of runs from one start (needs the `train` extra).",
    ),
    "cache": ("poseunion.training.cli.cache", "List, and delete, what training keeps on disk."),
    "evaluate": ("poseunion.training.cli.main", "Measure a model on labelled people."),
    "fit-prior": (
        "poseunion.training.cli.main",
        "Fit the pose prior: missing joints given labelled ones (needs the `train` extra).",
    ),
    "fit-evidence": (
        "poseunion.training.cli.main",
        "Fit how a model is conditioned on labelled joints (needs the `train` extra).",
    ),
    "calibrate": (
        "poseunion.training.cli.main",
        "Make a model's confidences probabilities (needs the `train` extra).",
    ),
    "export": (
        "poseunion.export.cli.main",
        "Write a trained network as ONNX or TensorRT, checked against its training (needs the `train` extra).",
    ),
    "export-detector": (
        "poseunion.export.cli.detector",
        "Write a trained person detector as ONNX (needs the `train` extra).",
    ),
    "convert": (
        "poseunion.export.cli.main",
        "Turn an mmpose RTMPose checkpoint into safetensors and ONNX (needs the `train` extra).",
    ),
    "engine": (
        "poseunion.export.cli.tensorrt",
        "Build a TensorRT engine (needs the `tensorrt` and `train` extras, and a GPU).",
    ),
    "bench": ("poseunion.export.cli.bench", "Time whole predictions of models on this machine."),
    "predict": ("poseunion.app.cli_predict", "Find people and their keypoints in pictures and videos."),
    "demo": ("poseunion.app.cli_demo", "Show a page to try, compare and review with (needs the `demo` extra)."),
}
_REST = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


def _add(command: str, module: str, summary: str) -> None:
    @app.command(command, context_settings=_REST, add_help_option=False, help=summary)
    def run(context: typer.Context) -> None:
        room: typer.Typer = importlib.import_module(module).app
        group = typer.main.get_command(room)
        if isinstance(group, TyperGroup) and command in group.commands:
            command_line.start(room, "poseunion", [command, *context.args])
        else:
            command_line.start(room, f"poseunion {command}", context.args)


for _name, (_module, _summary) in _COMMANDS.items():
    _add(_name, _module, _summary)


if __name__ == "__main__":
    main()
