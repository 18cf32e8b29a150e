"""`elumenta-nb map`: a prompt over the rows of a CSV, Parquet or JSON Lines file, into another such file.

Run again it buys only what is missing; the file it writes is whole or the one of before, also after Ctrl-C.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._errors import BadParam, ConfigError, ConfirmPrice, PriceAboveMax
from ._language import gettext as _, ngettext, number, tokens
from ._options import N_, Option, pair, typed, variable, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from ._batch import Map
    from ._parser import Line

__all__ = ["HELP", "OPTIONS", "USAGE", "run"]

SOME_FAILED: Final = 1
INTERRUPTED: Final = 130
FORMATS: Final = (".csv", ".parquet", ".jsonl")
_BOM: Final = "utf-8-sig"  # what spreadsheets write before their CSV


def _column(text: str) -> tuple[str, str]:
    """``parameter=column``."""
    name, equals, column = text.partition("=")
    if not equals or not name.strip() or not column:
        raise ValueError
    return name.strip().replace("-", "_"), column


USAGE: Final = "map FILE --model MODEL [--template TEXT] --out FILE"
HELP: Final = N_("ask a model for every row of a CSV, Parquet or JSONL file; run again, it buys only what is missing")
OPTIONS: Final = (
    Option(flags=("model",), takes="MODEL", help=N_("the model that is asked")),
    Option(
        flags=("template",), takes="TEXT", help=N_("the prompt of a row; {{ }} holds the name of a column of the file")
    ),
    Option(flags=("out", "o"), takes="PATH", help=N_("the file to write: .csv, .parquet or .jsonl")),
    Option(flags=("category",), takes="CATEGORY", help=N_("for a model that the table does not know")),
    Option(
        flags=("budget",),
        takes="N",
        read=whole(0),
        help=N_("what this map may spend, over all its runs; it stops there. Also the consent to its price"),
    ),
    Option(
        flags=("max-price", "max"),
        takes="N",
        read=whole(0),
        help=N_("refuse to begin above N Elumenta tokens; also the consent to what is below"),
    ),
    Option(flags=("concurrency",), takes="N", read=whole(1), help=N_("how many calls at once; 16 without it")),
    Option(
        flags=("params",),
        takes="name=column",
        read=_column,
        many=True,
        help=N_("read a parameter from a column of the file"),
    ),
    Option(flags=("input",), takes="COLUMN", help=N_("the column of what to work on: URLs or file names")),
    Option(
        flags=("param", "p"), takes="name=value", read=pair, many=True, help=N_("a parameter, the same for all rows")
    ),
    Option(flags=("column",), takes="NAME", read=variable, help=N_("the column of the results; result without it")),
    Option(flags=("tag",), takes="T", help=N_("mark the spend with this tag")),
    Option(flags=("dry-run",), help=N_("show the plan and its price, send nothing")),
)


def run(line: Line, say: Callable[[str], None]) -> int:
    """The status: 0 every row has its result, 1 some have not, 130 stopped by Ctrl-C. Raises `BadParam` and the rest."""
    source, target = _files(line)
    frame = _read(source)
    made = _planned(line, _as_typed(frame, source, line), target)
    say(str(made.plan))
    if line["dry-run"]:
        return 0
    _consented(line, made)
    return _run(line, made, frame, target, say)


# -------------------------------------------------------------------- files


def _files(line: Line) -> tuple[Path, Path | None]:
    if not line.words:
        raise BadParam(_("Which file?"), hint=f"elumenta-nb {USAGE}")
    if not line["model"]:
        raise BadParam(_("Which model?"), hint=f"elumenta-nb {USAGE}")
    source = Path(line.words[0])
    _format(source)
    if not source.is_file():
        raise BadParam(_("There is no file {path}.").format(path=source))
    if line["out"] is None:
        if line["dry-run"]:
            return source, None
        raise BadParam(_("Where to? Give the file to write."), hint="elumenta-nb map … --out FILE.parquet")
    target = Path(line["out"])
    _format(target)
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise BadParam(_("{path} cannot be written: there is no such folder.").format(path=target))
    if target.exists() and target.samefile(source):
        raise BadParam(_("The results go to another file than the rows are read from."))
    return source, target


def _format(path: Path) -> str:
    """The format by the file's ending. Raises `BadParam` for others, `ConfigError` without what reads it."""
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise BadParam(
            _("{path} is none of the formats it can be: {formats}.").format(path=path, formats=", ".join(FORMATS))
        )
    if ending == ".parquet" and find_spec("pyarrow") is None:
        raise ConfigError(
            _("Parquet and Arrow files need pyarrow, which is not installed."), hint='pip install "elumenta-nb[batch]"'
        )
    return ending


def _read(path: Path) -> pd.DataFrame:
    """The rows. What a CSV says is text and stays as it is: ``007``."""
    import pandas as pd

    try:
        match _format(path):
            case ".csv":
                frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""], encoding=_BOM)
            case ".jsonl":
                frame = pd.DataFrame(_records(path), dtype=object)
            case _:
                frame = pd.read_parquet(path)
    except (OSError, ValueError, TypeError) as error:  # pyarrow's, pandas' and the decoder's errors are among them
        raise BadParam(_("{path} cannot be read: {why}").format(path=path, why=error)) from None
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    frame.index = pd.RangeIndex(1, len(frame) + 1)  # people count rows from one
    return frame


def _records(path: Path) -> list[dict[str, Any]]:
    """The rows of JSON Lines. A line ends at its line feed: a text may hold what `splitlines` takes for an end."""
    rows = []
    for place, line in enumerate(path.read_text(encoding=_BOM).split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(_("line {n}: {why}").format(n=place, why=getattr(error, "msg", error))) from None
            if not isinstance(row, dict):
                raise ValueError(_("line {n}: {why}").format(n=place, why=_("it is not an object: {…}")))
            rows.append(row)
    return rows


def _as_typed(frame: pd.DataFrame, source: Path, line: Line) -> pd.DataFrame:
    """The columns of a CSV that are parameters, read as values on a command line are: ``7`` is a number."""
    columns = [column for _name, column in line["params"] or () if column in frame]
    if source.suffix.lower() != ".csv" or not columns:
        return frame
    return frame.assign(
        **{column: frame[column].astype(object).map(typed, na_action="ignore").astype(object) for column in columns}
    )


def _write(frame: pd.DataFrame, path: Path) -> None:
    """The file whole, or the one of before."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        match _format(path):
            case ".csv":
                frame.to_csv(part, index=False, encoding="utf-8")
            case ".jsonl":
                frame.to_json(part, orient="records", lines=True, force_ascii=False, date_format="iso")
            case _:
                frame.to_parquet(part, index=False)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, ValueError, TypeError) as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise ConfigError(
            _("{path} cannot be written: {why}").format(path=path, why=error),
            hint=_("What was paid is stored: run it again with another --out, and nothing is bought twice."),
        ) from None


def joined(frame: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """The rows with their results; a column of ours whose name the file has already begins with ``map_``."""
    names = {name: f"map_{name}" for name in results.columns if name in frame.columns}
    ours = results.rename(columns=names)
    ours[names.get("status", "status")] = ours[names.get("status", "status")].astype(str)
    return frame.join(ours)


# -------------------------------------------------------------------- plan and run


def _planned(line: Line, frame: pd.DataFrame, target: Path | None) -> Map:
    from . import _session
    from ._batch import Spec, plan_map

    session = _session.current((target or Path.cwd() / "x").absolute().parent)
    spec = Spec(
        model=line["model"],
        template=line["template"],
        category=line["category"],
        options=dict(line.extra),
        params=dict(line["params"] or ()),
        input=line["input"],
        out=line["column"] or "result",
        tag=line["tag"],
    )
    limits = {"budget": line["budget"], "max_price": line["max-price"], "concurrency": line["concurrency"] or 16}
    made = plan_map(session, frame, spec, **limits)
    session.last_map = made
    return made


def _consented(line: Line, made: Map) -> None:
    """Raises `PriceAboveMax` or `ConfirmPrice` that name the option to add."""
    from . import _session
    from ._batch import consent

    above = _session.current().settings.confirm_above
    try:
        consent(made.plan, budget=line["budget"], max_price=line["max-price"], confirm_above=above)
    except (ConfirmPrice, PriceAboveMax) as error:
        message = str(error).split("\n", 1)[0]  # the plan was just shown
        hint = re.sub(r"\b(budget|max_price)=", lambda found: f"--{found[1].replace('_', '-')} ", error.hint)
        raise type(error)(message, hint=hint) from None


def _run(line: Line, made: Map, frame: pd.DataFrame, target: Path | None, say: Callable[[str], None]) -> int:
    from ._batch import run_map

    assert target is not None
    stopped = False
    try:
        run_map(made, budget=line["budget"], concurrency=line["concurrency"] or 16, on_error="keep", progress=True)
    except KeyboardInterrupt:
        stopped = True
        _wait(made)
    results = made.frame
    _write(joined(frame, results), target)
    done = int((results["status"] == "completed").sum())
    for sentence in _ending(results, target):
        say(sentence)
    if stopped:
        say(_("Stopped. Run it again for the rest: what is done is not bought again."))
        return INTERRUPTED
    return 0 if done == len(results) else SOME_FAILED


def _wait(made: Map) -> None:
    """What is under way is paid for: wait for it, unless a second Ctrl-C comes."""
    with contextlib.suppress(KeyboardInterrupt):
        if not made.drained(0):
            sys.stderr.write(_("Waiting for the calls that are under way; Ctrl-C again leaves them.") + "\n")
            sys.stderr.flush()
        while not made.drained(0.2):
            time.sleep(0.05)


def _ending(results: pd.DataFrame, target: Path) -> list[str]:
    counts = results["status"].value_counts()
    done = _("{done} of {all} rows").format(done=number(int(counts.get("completed", 0))), all=number(len(results)))
    parts = [f"{target}: {done}", tokens(int(results["tokens"].sum()))]
    if n := int(counts.get("failed", 0)):
        parts.append(ngettext("{n} failed", "{n} failed", n))
    if n := int(counts.get("not bought", 0)):
        parts.append(ngettext("{n} not bought", "{n} not bought", n))
    if n := int(counts.get("pending", 0) + counts.get("unknown", 0) + counts.get("waiting", 0)):
        parts.append(ngettext("{n} not known yet", "{n} not known yet", n))
    lines = [" · ".join(parts)]
    errors = results["error"].dropna()
    for why, n in errors.value_counts().head(3).items():
        lines.append(f"  {number(int(n))} × {why}")
    return lines
