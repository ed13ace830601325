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


def _hand_over(command: str, module: str, context: typer.Context, *, is_subcommand: bool = False) -> None:
    """Run the typer `app` of `module` with the rest of the command line.

    Args:
        is_subcommand: `command` is one of several commands of that app, not the app itself.
    """
    room: typer.Typer = importlib.import_module(module).app
    words, program = ([command], "poseunion") if is_subcommand else ([], f"poseunion {command}")
    room(args=[*words, *context.args], prog_name=program)


# Everything after the command's name belongs to the room, --help included.
_REST = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


@app.command("annotate", context_settings=_REST, add_help_option=False)
def annotate(context: typer.Context) -> None:
    """Extend, show and check annotation files (also installed as `annotate`)."""
    _hand_over("annotate", "poseunion.annotate.cli", context)


@app.command("models", context_settings=_REST, add_help_option=False)
def models(context: typer.Context) -> None:
    """List the models and skeletons that come with this installation."""
    _hand_over("models", "poseunion.models.cli", context)


@app.command("train", context_settings=_REST, add_help_option=False)
def train(context: typer.Context) -> None:
    """Train a student (needs the `train` extra)."""
    _hand_over("train", "poseunion.training.cli", context, is_subcommand=True)


@app.command("evaluate", context_settings=_REST, add_help_option=False)
def evaluate(context: typer.Context) -> None:
    """Measure a model on labelled people."""
    _hand_over("evaluate", "poseunion.training.cli", context, is_subcommand=True)


@app.command("fit-prior", context_settings=_REST, add_help_option=False)
def fit_prior(context: typer.Context) -> None:
    """Fit what labelled joints say about missing ones (needs the `train` extra)."""
    _hand_over("fit-prior", "poseunion.training.cli", context, is_subcommand=True)


@app.command("fit-evidence", context_settings=_REST, add_help_option=False)
def fit_evidence(context: typer.Context) -> None:
    """Fit how a model's word is weighed against labelled joints (needs the `train` extra)."""
    _hand_over("fit-evidence", "poseunion.training.cli", context, is_subcommand=True)


@app.command("calibrate", context_settings=_REST, add_help_option=False)
def calibrate(context: typer.Context) -> None:
    """Make a model's confidences probabilities (needs the `train` extra)."""
    _hand_over("calibrate", "poseunion.training.cli", context, is_subcommand=True)


@app.command("export", context_settings=_REST, add_help_option=False)
def export(context: typer.Context) -> None:
    """Write a trained network as ONNX or TensorRT, checked against its training (needs the `train` extra)."""
    _hand_over("export", "poseunion.export.cli", context, is_subcommand=True)


@app.command("convert", context_settings=_REST, add_help_option=False)
def convert(context: typer.Context) -> None:
    """Turn an mmpose RTMPose checkpoint into safetensors and ONNX (needs the `train` extra)."""
    _hand_over("convert", "poseunion.export.cli", context, is_subcommand=True)


@app.command("engine", context_settings=_REST, add_help_option=False)
def engine(context: typer.Context) -> None:
    """Build a TensorRT engine (needs the `tensorrt` and `train` extras, and a GPU)."""
    _hand_over("engine", "poseunion.export.cli_tensorrt", context)


@app.command("bench", context_settings=_REST, add_help_option=False)
def bench(context: typer.Context) -> None:
    """Time whole predictions beside rtmlib and other programs."""
    _hand_over("bench", "poseunion.export.cli_bench", context)


@app.command("demo", context_settings=_REST, add_help_option=False)
def demo(context: typer.Context) -> None:
    """Show a page to try, compare and review with (needs the `demo` extra)."""
    _hand_over("demo", "poseunion.app.cli_demo", context)


if __name__ == "__main__":
    main()
