"""Time of help texts: CPU seconds (user and system) of `--help` of both programs and each command.

    python benchmarks/runtime/help_speed.py .venv/bin
    python benchmarks/runtime/help_speed.py BEFORE/.venv/bin .venv/bin

Each argument is the folder of an environment's programs; with several, they take turns, so that other programs on the
machine slow all of them down. Prints a Markdown table: the best (the median) of seven calls.
"""

from __future__ import annotations

import argparse
import re
import resource
import statistics
import subprocess
from pathlib import Path

PROGRAMS = ("poseunion", "annotate")


def commands_of(folder: Path, program: str) -> list[str]:
    """Commands that a program's help text lists."""
    shown = subprocess.run([folder / program, "--help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  ([a-z][a-z-]*) ", shown.split("Commands:\n", 1)[1], re.MULTILINE)


def cpu_seconds(command: list[str]) -> float:
    """User and system time of one call."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    folders: list[Path] = given.folders
    rows = [[program] for program in PROGRAMS]
    rows += [[program, command] for program in PROGRAMS for command in commands_of(folders[-1], program)]
    print("| |" + "".join(f" {number} |" for number in range(1, len(folders) + 1)))
    print("|---|" + "--:|" * len(folders))
    for words in rows:
        taken: list[list[float]] = [[] for _ in folders]
        for _ in range(given.rounds):
            for folder, times in zip(folders, taken, strict=True):
                times.append(cpu_seconds([str(folder / words[0]), *words[1:], "--help"]))
        cells = "".join(f" {min(times):.2f} ({statistics.median(times):.2f}) |" for times in taken)
        print(f"| `{' '.join(words)}` |{cells}", flush=True)


if __name__ == "__main__":
    main()
