"""A spend frame as files for other programs."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["write_excel_csv"]

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # Excel would run a text that begins so


def write_excel_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Semicolons, decimal commas, UTF-8 with its mark, local times without a zone: what a Russian Excel opens rightly.

    A named index becomes columns. A text that Excel would take for a formula is led by an apostrophe.
    """
    import pandas as pd

    table = frame.reset_index() if any(name is not None for name in frame.index.names) else frame
    columns: list[list[str]] = []
    for place, dtype in enumerate(table.dtypes):
        values = table.iloc[:, place]
        if isinstance(dtype, pd.DatetimeTZDtype):
            columns.append(
                ["" if pd.isna(at) else f"{at.to_pydatetime().astimezone():%Y-%m-%d %H:%M:%S}" for at in values]
            )
        else:
            columns.append([_cell(value) for value in values])
    with Path(path).open("w", encoding="utf-8-sig", newline="") as file:
        out = csv.writer(file, delimiter=";", lineterminator="\r\n")
        out.writerow([str(name) for name in table.columns])
        out.writerows(zip(*columns, strict=True))


def _cell(value: Any) -> str:
    import pandas as pd

    if not isinstance(value, str) and pd.isna(value):
        return ""
    if isinstance(value, float | Decimal):
        return f"{value}".replace(".", ",")
    text = f"{value}"
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
