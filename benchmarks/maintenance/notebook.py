"""What the cells of docs/python.ipynb show, made anew:  python benchmarks/maintenance/notebook.py docs/python.ipynb

A test runs the cells and compares. They are run in this process, without a kernel: a cell is Python, and shows the
value of its last expression as `repr`, as HTML where it is a table, and as JPEG where it is a picture.
"""

from __future__ import annotations

import ast
import base64
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def shown(source: str, names: dict[str, Any]) -> dict[str, Any]:
    """A notebook's `data` of what a cell shows: media type -> text; empty where it shows nothing."""
    body = ast.parse(source).body
    last = body[-1] if body else None
    if not isinstance(last, ast.Expr):
        exec(compile(source, "cell", "exec"), names)
        return {}
    exec(compile(ast.Module(body[:-1], type_ignores=[]), "cell", "exec"), names)
    value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    if value is None:
        return {}
    data = {"text/plain": re.sub(r" at 0x\w+", "", repr(value))}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = value._repr_html_()
    if hasattr(value, "_repr_jpeg_"):
        data["image/jpeg"] = base64.b64encode(value._repr_jpeg_()).decode()
    return data


def cells_shown(notebook: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each code cell, and the data of what it shows when all are run in turn."""
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            yield cell, shown("".join(cell["source"]), names)


def main() -> None:
    path = Path(sys.argv[1])
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for number, (cell, data) in enumerate(cells_shown(notebook), 1):
        cell["execution_count"] = number
        result = {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}
        cell["outputs"] = [result] if data else []
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
