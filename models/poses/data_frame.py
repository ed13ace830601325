"""Tables for notebooks: pandas, where it is installed."""

from __future__ import annotations

from typing import Any

from poseunion.models.errors import MissingExtraError


def data_frame(columns: dict[str, Any]) -> Any:
    """`pandas.DataFrame` of columns of one length; raises MissingExtraError where pandas is not installed."""
    try:
        from pandas import DataFrame
    except ModuleNotFoundError as error:
        raise MissingExtraError("pandas", "interop") from error
    return DataFrame(columns)
