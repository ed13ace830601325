"""SIGKILL at a counted file operation, in a child of a warm process.

All that a killed process leaves is what it has written, so a moment is a number of file operations, not of seconds: the
child counts them and kills itself in place of the next one, halfway through it where it writes bytes.
"""

from __future__ import annotations

import io
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

OPERATIONS = ("write", "fsync", "chmod", "replace", "rename", "unlink", "mkdir", "rmdir", "ftruncate")


def killed_at(do: Callable[[], None], moment: int) -> bool:
    """Was `do` killed, in place of its operation number `moment`? Not, where it has fewer."""
    return _forked(do, moment) is None


def operations_of(do: Callable[[], None]) -> int:
    """File operations of `do`, which is done in a child."""
    count = _forked(do, -1)
    assert count is not None
    return count


def _forked(do: Callable[[], None], moment: int) -> int | None:
    read, write = os.pipe()
    say, leave = os.write, os._exit
    child = os.fork()
    if child == 0:
        try:
            count = _arm(moment)
            do()
            say(write, str(count[0]).encode())
            leave(0)
        except BaseException:
            traceback.print_exc()
            leave(1)
    os.close(write)
    said = b""
    while part := os.read(read, 100):
        said += part
    os.close(read)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    assert status == 0, f"the child ended with {status}"
    return int(said)


def _arm(moment: int) -> list[int]:
    """From here on operations are counted, in the list's one number, and the one of this number is not survived."""
    done = [0]

    def next_one(half: Callable[[], Any] | None = None) -> None:
        if done[0] == moment:
            if half is not None:
                half()
            os.kill(os.getpid(), signal.SIGKILL)
        done[0] += 1

    def counted(name: str) -> None:
        real = getattr(os, name)

        def operation(*args: Any, **more: Any) -> Any:
            half = (lambda: real(args[0], args[1][: len(args[1]) // 2])) if name == "write" else None
            next_one(half)
            return real(*args, **more)

        setattr(os, name, operation)

    for name in OPERATIONS:
        counted(name)

    class Written(io.BufferedWriter):
        """What `os.fdopen` gives for writing bytes: its writes are operations, too."""

        def write(self, content: Any) -> int:
            def half() -> None:
                super(Written, self).write(bytes(content)[: len(content) // 2])
                super(Written, self).flush()

            next_one(half)
            return super().write(content)

    real_open = os.fdopen

    def opened(handle: int, mode: str = "r", *args: Any, **more: Any) -> Any:
        return Written(io.FileIO(handle, "wb")) if mode == "wb" else real_open(handle, mode, *args, **more)

    setattr(os, "fdopen", opened)  # noqa: B010  mypy knows its overloads
    return done
