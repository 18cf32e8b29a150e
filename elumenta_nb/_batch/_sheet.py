"""What became of the rows so far, in columns: a frame whenever one is asked for, also while the map runs."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import pandas as pd

    from elumenta_nb._result import Result

    from ._plan import Survey
    from ._rows import Rows
    from ._runner import Done

__all__ = ["STATUSES", "Cells", "Sheet", "Tally", "blank_frame", "shown_path"]

STATUSES: Final = ("waiting", "completed", "failed", "not bought", "pending", "unknown")
_CODES: Final = {status: code for code, status in enumerate(STATUSES)}
_NO_CALL: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Counts of a map: of its calls while it runs, of its rows at the end."""

    model: str
    calls: int
    done: int
    failed: int
    tokens: int
    rows: int
    rows_done: int
    rows_failed: int
    rows_not_bought: int
    rows_open: int


class Cells(NamedTuple):
    """What the frame says of a call."""

    status: str
    out: str | None
    tokens: int
    error: str
    call_id: int | None


class Sheet:
    """A cell of each column for each call. Written on the background loop, read anywhere."""

    def __init__(self, rows: Rows, survey: Survey, base: Path) -> None:
        calls = len(survey.fingerprints)
        self._rows = rows
        self._survey = survey
        self._base = base
        self._status = bytearray(calls)
        self._outs: list[str | None] = [None] * calls
        self._tokens = array("q", bytes(8 * calls))
        self._ids = array("q", [_NO_CALL]) * calls
        self._errors: dict[int, str] = {}
        self.done = self.failed = self.tokens = 0

    def put(self, done: Done) -> None:
        """What became of a call; told again, the last word counts."""
        out = None if done.result is None else shown(done.result, self._base)
        self.put_cells(done.number, Cells(done.status, out, done.tokens, done.error, done.call_id))

    def put_cells(self, number: int, cells: Cells) -> None:
        """As `put`, of what another process has in its sheet."""
        status, out, tokens, error, call_id = cells
        code = _CODES[status]
        if not self._status[number]:
            self.done += 1
        self.failed += (status == "failed") - (self._status[number] == _CODES["failed"])
        self.tokens += tokens - self._tokens[number]
        self._status[number] = code
        self._tokens[number] = tokens
        self._ids[number] = _NO_CALL if call_id is None else call_id
        if status == "completed":
            self._outs[number] = out
            self._errors.pop(number, None)
        elif error:
            self._errors[number] = error

    def cells(self, number: int) -> Cells:
        """What is known of a call."""
        call_id = self._ids[number]
        return Cells(
            STATUSES[self._status[number]],
            self._outs[number],
            self._tokens[number],
            self._errors.get(number, ""),
            None if call_id == _NO_CALL else call_id,
        )

    def put_stored(self, number: int, out: str | None, call_id: int | None) -> None:
        """A call whose take was here."""
        self.done += 1
        self._status[number] = _CODES["completed"]
        self._outs[number] = out
        self._ids[number] = _NO_CALL if call_id is None else call_id

    def leave(self, why: str, but: Collection[int] = ()) -> None:
        """Calls that nobody asked for any more, `but` those that are under way."""
        for number, code in enumerate(self._status):
            if code == 0 and number not in but:
                self.leave_one(number, why)

    def leave_one(self, number: int, why: str) -> None:
        """A call that nobody asked for."""
        self._status[number] = _CODES["not bought"]
        self._errors[number] = why

    def tally(self) -> Tally:
        codes = self._status
        refused = len(self._survey.refused)
        of_rows = [0] * len(STATUSES)
        for number in self._survey.call_of:
            if number >= 0:
                of_rows[codes[number]] += 1
        return Tally(
            model=self._rows.base.model.slug,
            calls=len(codes),
            done=self.done,
            failed=self.failed,
            tokens=self.tokens,
            rows=len(self._rows),
            rows_done=of_rows[_CODES["completed"]],
            rows_failed=of_rows[_CODES["failed"]] + refused,
            rows_not_bought=of_rows[_CODES["not bought"]],
            rows_open=of_rows[_CODES["pending"]] + of_rows[_CODES["unknown"]],
        )

    def brief(self) -> Tally:
        """As `tally`, without counting rows: cheap enough for a line that moves."""
        return Tally(
            model=self._rows.base.model.slug,
            calls=len(self._status),
            done=self.done,
            failed=self.failed,
            tokens=self.tokens,
            rows=len(self._rows),
            rows_done=0,
            rows_failed=0,
            rows_not_bought=0,
            rows_open=0,
        )

    def frame(self) -> pd.DataFrame:
        """A row for each row of the frame that was mapped, under its index.

        Equal rows have one call: the first of them has its tokens, the others 0.
        """
        import pandas as pd

        survey, rows = self._survey, self._rows
        outs: list[Any] = []
        tokens: list[Any] = []
        codes: list[int] = []
        errors: list[Any] = []
        ids: list[Any] = []
        for i, number in enumerate(survey.call_of):
            if number < 0:
                outs.append(None)
                tokens.append(0)
                codes.append(_CODES["failed"])
                errors.append(survey.refused[i])
                ids.append(None)
                continue
            outs.append(self._outs[number])
            tokens.append(self._tokens[number] if survey.first[number] == i else 0)
            codes.append(self._status[number])
            errors.append(self._errors.get(number))
            ids.append(None if self._ids[number] == _NO_CALL else self._ids[number])
        return pd.DataFrame(
            {
                rows.spec.out: pd.array(outs, dtype="string"),
                "tokens": pd.array(tokens, dtype="Int64"),
                "status": pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(list(STATUSES))),
                "error": pd.array(errors, dtype="string"),
                "call_id": pd.array(ids, dtype="Int64"),
            },
            index=rows.index,
        )


def blank_frame(index: pd.Index, out: str, why: str) -> pd.DataFrame:
    """A frame of rows that nobody asked for."""
    import pandas as pd

    n = len(index)
    return pd.DataFrame(
        {
            out: pd.array([None] * n, dtype="string"),
            "tokens": pd.array([0] * n, dtype="Int64"),
            "status": pd.Categorical.from_codes([_CODES["not bought"]] * n, dtype=pd.CategoricalDtype(list(STATUSES))),
            "error": pd.array([why] * n, dtype="string"),
            "call_id": pd.array([None] * n, dtype="Int64"),
        },
        index=index,
    )


def shown(result: Result, base: Path) -> str | None:
    """What the frame has of a result: its text, or where its file is."""
    if result.text is not None:
        return result.text
    return None if result.path is None else shown_path(result.path, base)


def shown_path(path: Path, base: Path) -> str:
    """From the notebook's folder where the file is below it, with forward slashes."""
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)
