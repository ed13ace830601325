"""Inputs tried in children of one warm process: forked, limited in memory, watched for time, a scratch folder each.

A new interpreter with torch takes seconds, a fork milliseconds. A child that dies or hangs costs its one input; the
next child goes on behind it.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.fuzz.kinds import Kind

PATIENCE_S = 60.0  # of the processor's time: on a busy machine a child may just be waiting
LONGEST_S = 600.0
MOST_MB = 1000  # resident, beyond the warm process
ADDRESS_SPACE = 3 << 30  # what a child may map beyond the warm process: a wild allocation fails there, not the machine


@dataclass(frozen=True)
class Fault:
    """What must not be.

    Attributes:
        what: `traceback`, `hang`, `crash`, `exit code`, `partial output` or `memory`.
        folder: the input that leads to it, kept.
    """

    kind: str
    seed: int
    what: str
    command: list[str]
    text: str
    folder: str


@dataclass(frozen=True)
class Tried:
    """One input that a child has gone through."""

    kind: str
    seed: int
    codes: list[int]
    peak_mb: float
    faults: list[Fault]


def tried(inputs: Sequence[tuple[Kind, int]], scratch: Path, batch: int = 25) -> Iterator[Tried]:
    """All inputs, (kind, seed), each in some child."""
    fork = multiprocessing.get_context("fork")
    at = 0
    while at < len(inputs):
        ours, theirs = fork.Pipe(duplex=False)
        child = fork.Process(target=_child, args=(theirs, inputs[at : at + batch], scratch))
        child.start()
        theirs.close()
        end = min(at + batch, len(inputs))
        while at < end:
            answer, why = None, "hang"
            if _answers(ours, child.pid):
                try:
                    answer = ours.recv_bytes()
                except EOFError:
                    why = "crash"
            if answer is None:
                child.kill()
                child.join()
                yield _lost(*inputs[at], why, scratch, child.exitcode)
                at += 1
                break
            fields = json.loads(answer)
            yield Tried(**{**fields, "faults": [Fault(**f) for f in fields["faults"]]})
            at += 1
        child.join()
        ours.close()


def _answers(answers: Connection, pid: int | None) -> bool:
    """Wait for the child's next answer; not for ever."""
    began, before = time.monotonic(), _cpu_s(pid)
    while not answers.poll(PATIENCE_S / 4):
        if _cpu_s(pid) - before > PATIENCE_S or time.monotonic() - began > LONGEST_S:
            return False
    return True


def _cpu_s(pid: int | None) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def folder_of(scratch: Path, kind: Kind, seed: int) -> Path:
    """Where an input lies."""
    return scratch / f"{kind.name}-{seed}"


def _lost(kind: Kind, seed: int, what: str, scratch: Path, code: int | None) -> Tried:
    folder = folder_of(scratch, kind, seed)
    said = folder / "command"
    command = said.read_text().split("\n") if said.exists() else []
    fault = Fault(kind.name, seed, what, command, f"the child ended with {code}", str(folder))
    return Tried(kind.name, seed, [], 0.0, [fault])


def _child(answers: Connection, inputs: Sequence[tuple[Kind, int]], scratch: Path) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE, used + ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for kind, seed in inputs:
        answers.send_bytes(json.dumps(asdict(_try(kind, seed, scratch))).encode())
    answers.close()
    os._exit(0)


def _try(kind: Kind, seed: int, scratch: Path) -> Tried:
    folder = folder_of(scratch, kind, seed)
    folder.mkdir(parents=True)
    Path("/proc/self/clear_refs").write_text("5")  # the peak of this input, not of those before it
    before = _memory_mb("VmRSS")
    codes: list[int] = []
    faults: list[Fault] = []
    for command in kind.mutate(folder, random.Random(f"{kind.name} {seed}")):
        (folder / "command").write_text("\n".join(command))
        code, text = _run(command, folder)
        codes.append(code)
        for what in _wrong(code, text, folder):
            faults.append(Fault(kind.name, seed, what, command, text[-3000:], str(folder)))
        for left in folder.glob("out*"):
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    peak = _memory_mb("VmHWM") - before
    if peak > MOST_MB:
        faults.append(Fault(kind.name, seed, "memory", [], f"{peak:.0f} MB", str(folder)))
    if not faults:
        shutil.rmtree(folder)
    return Tried(kind.name, seed, codes, peak, faults)


def _memory_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name + ":")).split()[1]) / 1024


def _run(command: list[str], folder: Path) -> tuple[int, str]:
    """(exit code, what was said) of a command in this process; code 1 and a traceback as Python itself would give."""
    from poseunion.annotate.cli import main as annotate
    from poseunion.app import cli as poseunion

    program = {"annotate": annotate.main, "poseunion": poseunion.main}[command[0]]
    code: Any = 0
    with (folder / "said").open("w+", errors="backslashreplace") as said:
        arguments, sys.argv = sys.argv, list(command)
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                program()
            except SystemExit as end:
                code = 0 if end.code is None else end.code if isinstance(end.code, int) else 1
            except BaseException:
                code = 1
                traceback.print_exc()
        sys.argv = arguments
        said.seek(0)
        return code, said.read()


def _wrong(code: int, text: str, folder: Path) -> Iterator[str]:
    if "Traceback" in text:
        yield "traceback"
    elif code not in (0, 2):
        yield "exit code"
    if any(folder.rglob("*.part")) or any(folder.rglob(".*.part")):
        yield "partial output"
    for out in folder.glob("out*.json"):
        if code == 2 and not out.name.endswith(".run.json"):
            yield "partial output"
            return
        try:
            json.loads(out.read_text())
        except ValueError:
            yield "partial output"
