"""`poseunion`: one command that hands over to the rooms' own command lines.

A room is imported when its command is called, so that `poseunion --help` needs nothing but the base installation.
"""

from __future__ import annotations

import importlib

import typer

from poseunion.models import command_line

app = typer.Typer(
    help="Train small pose models across datasets that disagree about the skeleton; complete annotations with them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; what goes wrong on purpose is one sentence on standard error and exit code 2."""
    command_line.run(app, "poseunion")


# Command: its module, whether it is one of several commands of that module's app, and its line of help. After the
# command's name everything belongs to the room, --help included.
_COMMANDS = {
    "annotate": (
        *("poseunion.annotate.cli.main", False),
        "Extend, show and check annotation files (also installed as `annotate`).",
    ),
    "models": ("poseunion.models.cli", False, "List the models and skeletons that come with this installation."),
    "train": ("poseunion.training.cli.main", True, "Train a student (needs the `train` extra)."),
    "train-detector": (
        *("poseunion.training.cli.main", True),
        "Train a person detector (needs the `train` extra).",
    ),
    "pack": (
        *("poseunion.training.cli.main", True),
        "Pack a training set to train from on another machine (needs the `train` extra).",
    ),
    "average": (
        "poseunion.training.cli.main",
        True,
        "Average the weights of runs from one start (needs the `train` extra).",
    ),
    "cache": ("poseunion.training.cli.cache", False, "List, and delete, what training keeps on disk."),
    "evaluate": ("poseunion.training.cli.main", True, "Measure a model on labelled people."),
    "fit-prior": (
        *("poseunion.training.cli.main", True),
        "Fit the pose prior: missing joints given labelled ones (needs the `train` extra).",
    ),
    "fit-evidence": (
        *("poseunion.training.cli.main", True),
        "Fit how a model is conditioned on labelled joints (needs the `train` extra).",
    ),
    "calibrate": (
        *("poseunion.training.cli.main", True),
        "Make a model's confidences probabilities (needs the `train` extra).",
    ),
    "export": (
        *("poseunion.export.cli.main", True),
        "Write a trained network as ONNX or TensorRT, checked against its training (needs the `train` extra).",
    ),
    "export-detector": (
        *("poseunion.export.cli.detector", False),
        "Write a trained person detector as ONNX (needs the `train` extra).",
    ),
    "convert": (
        *("poseunion.export.cli.main", True),
        "Turn an mmpose RTMPose checkpoint into safetensors and ONNX (needs the `train` extra).",
    ),
    "engine": (
        *("poseunion.export.cli.tensorrt", False),
        "Build a TensorRT engine (needs the `tensorrt` and `train` extras, and a GPU).",
    ),
    "bench": ("poseunion.export.cli.bench", False, "Time whole predictions of models on this machine."),
    "predict": ("poseunion.app.cli_predict", False, "Find people and their keypoints in pictures and videos."),
    "demo": ("poseunion.app.cli_demo", False, "Show a page to try, compare and review with (needs the `demo` extra)."),
}
_REST = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


def _hand_over(command: str, module: str, context: typer.Context, *, is_subcommand: bool) -> None:
    """Run the typer `app` of `module` with the rest of the command line."""
    room: typer.Typer = importlib.import_module(module).app
    words, program = ([command], "poseunion") if is_subcommand else ([], f"poseunion {command}")
    command_line.start(room, program, [*words, *context.args])


def _add(command: str, module: str, is_subcommand: bool, says: str) -> None:
    @app.command(command, context_settings=_REST, add_help_option=False, help=says)
    def run(context: typer.Context) -> None:
        _hand_over(command, module, context, is_subcommand=is_subcommand)


for _name, (_module, _is_subcommand, _says) in _COMMANDS.items():
    _add(_name, _module, _is_subcommand, _says)


if __name__ == "__main__":
    main()
