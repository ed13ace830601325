"""YAML files, as YOLO's data.yaml is one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from poseunion.models.errors import BadFileError, MissingExtraError
from poseunion.models.files import read_regular

# A data.yaml has about 2 kB; one that lists pictures has one short line each.
MOST_BYTES = 16_000_000
# Of a data.yaml that lists a picture a line; an alias counts as often as it is written out.
MOST_VALUES = 1_000_000
# The reader scans 1,024 tokens ahead at every level: a second for a thousand brackets. No data.yaml nests a hundred.
_DEEP = re.compile(r"(?:[\[{]\s*){100}")


def load_yaml(path: Path) -> Any:
    """The parsed file. Raises BadFileError, MissingExtraError."""
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyyaml", "formats") from error
    try:
        text = read_regular(path, MOST_BYTES).decode("utf-8")
        if _DEEP.search(text):
            raise RecursionError
        value = yaml.safe_load(text)
        if _values(value, MOST_VALUES) > MOST_VALUES:
            raise BadFileError(f"{path} writes out to more than {MOST_VALUES:,} values: its aliases repeat each other.")
        return value
    except OSError as error:
        raise BadFileError(f"Cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise BadFileError(f"{path} is not a text file: a YAML file is expected.") from error
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f" at line {place.line + 1}, column {place.column + 1}" if place else ""
        raise BadFileError(f"{path} is not valid YAML{where}.") from error
    except RecursionError as error:
        raise BadFileError(f"{path} is nested too deeply to be a data.yaml.") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:  # tags, dates, long numbers
        raise BadFileError(f"{path} holds a value that YAML cannot read ({str(error)[:80]}).") from error


def _values(value: Any, most: int) -> int:
    """How many values there are when every alias is written out; counting ends beyond `most`."""
    waiting, count = [value], 0
    while waiting and count <= most:
        count += 1
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, (list, tuple, set)):
            waiting += one
    return count


def dump_yaml(value: Any) -> str:
    """As YAML, keys in their order, short lists on one line."""
    import yaml

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120))
