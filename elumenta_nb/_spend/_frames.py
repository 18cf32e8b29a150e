"""The ledger as a pandas DataFrame: one row per call, or aggregates of them. The columns are part of the interface."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from elumenta_nb._catalog import closest
from elumenta_nb._errors import BadParam
from elumenta_nb._language import gettext as _
from elumenta_nb._ledger import Where, micros
from elumenta_nb._ledger.entry import STATUSES, Flag
from elumenta_nb._ledger.totals import FIGURES
from elumenta_nb._values import Surface

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import tzinfo

    import pandas as pd

    from elumenta_nb._ledger import Ledger
    from elumenta_nb._ledger.columns import Columns

__all__ = ["COLUMNS", "EXTRA", "GROUPS", "spend_frame", "zone_of"]

EXTRA: Final = ("params", "media", "prompt_hash", "error", "attempts")
ALL: Final = (
    "id",
    "started_at",
    "ended_at",
    "account",
    "user",
    "host",
    "notebook",
    "cell_id",
    "execution_count",
    "label",
    "tags",
    "source",
    "category",
    "model",
    "provider",
    "status",
    "quoted",
    "held",
    "tokens",
    "balance_after",
    "latency_s",
    "generation_id",
    "attempts",
    "reused",
    "restored_from",
    "prompt_chars",
    "prompt_hash",
    "params",
    "media",
    "error",
)
COLUMNS: Final = tuple(name for name in ALL if name not in EXTRA)

GROUPS: Final = {
    "cell": ("notebook", "cell", "category", "model"),
    "model": ("model", "category"),
    "category": ("category",),
    "day": ("day",),
    "notebook": ("notebook",),
    "user": ("user",),
    "tag": ("tag",),
}
_DIRECT: Final = (
    "quoted",
    "held",
    "tokens",
    "attempts",
    "prompt_chars",
    "execution_count",
    "balance_after",
    "restored_from",
    "id",
)
_PLACES: Final = ("account", "user", "host", "notebook", "cell_id", "label", "tags", "source")
_MODELS: Final = ("category", "model", "provider")
_SECOND_US: Final = 1_000_000  # sums tell their first and last time to the second: a person reads them
_AGO: Final = re.compile(r"\s*(\d+)\s*(h|d|w)\s*", re.IGNORECASE)
_UNITS: Final = {"h": "hours", "d": "days", "w": "weeks"}

Since = date | datetime | timedelta | str | None


def spend_frame(
    ledger: Ledger,
    *,
    by: str | None = None,
    since: Since = None,
    account: str | None = None,
    tz: str | tzinfo | None = None,
    columns: str | Iterable[str] | None = None,
    api: str | None = None,
    where: Where | None = None,
    now: datetime | None = None,
) -> pd.DataFrame:
    """The calls, the oldest first; with `by` their sums (``cell model category day notebook user tag``), the dearest first.

    `since` is a date, a time, a length of time or a text of one (``"2026-11-01"``, ``"7d"``); without a zone it is in
    `tz`, a name or a zone, by default the local one. `columns` is ``"all"`` or names. `api` is ``"sandbox"`` or an
    origin; without it the sandbox's rows are left out. `where` narrows further. Times are UTC, days are of `tz`.

    Raises `BadParam` for a group, column, zone or date that cannot be.
    """
    zone = zone_of(tz)
    wanted = where or Where()
    wanted = Where(
        api=api if api is not None else wanted.api,
        account=account if account is not None else wanted.account,
        since_us=wanted.since_us if since is None else micros(_moment(since, zone, now or datetime.now(UTC))),
        **{
            name: getattr(wanted, name)
            for name in ("until_us", "notebook", "source", "user", "tag", "category", "model")
        },
    )
    if by is not None:
        return _grouped(ledger, _known(by, GROUPS, _("group")), wanted, zone)
    if columns is None or columns == "all":
        names: Sequence[str] = ALL if columns else COLUMNS
    else:
        names = [_known(name, ALL, _("column")) for name in ([columns] if isinstance(columns, str) else columns)]
    return _calls(ledger, names, wanted)


def _known(name: str, names: Iterable[str], what: str) -> str:
    names = list(names)
    if name in names:
        return name
    near = closest(name, names)
    hint = _("Did you mean {name}?").format(name=near) if near else ", ".join(names)
    raise BadParam(_("There is no {what} {name!r}.").format(what=what, name=name), hint=hint)


def zone_of(tz: str | tzinfo | None) -> tzinfo | None:
    if not isinstance(tz, str):
        return tz
    try:
        return ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadParam(_("There is no time zone {name!r}.").format(name=tz), hint='tz="Europe/Moscow"') from None


def _moment(given: date | datetime | timedelta | str, zone: tzinfo | None, now: datetime) -> datetime:
    """The moment that `since` means, in UTC."""
    since: Any = given
    try:
        if isinstance(since, str):
            if ago := _AGO.fullmatch(since):
                since = timedelta(**{_UNITS[ago[2].lower()]: int(ago[1])})
            elif len(since.strip()) <= len("2026-11-01"):
                since = date.fromisoformat(since.strip())
            else:
                since = datetime.fromisoformat(since.strip())
        if hasattr(since, "astype"):  # numpy's
            since = since.astype("datetime64[us]").item()
        elif hasattr(since, "to_pydatetime"):  # pandas', whose own astimezone refuses a naive one
            since = since.to_pydatetime()
        if isinstance(since, timedelta):
            return now - since
        if not isinstance(since, datetime):
            since = datetime.combine(since, time())
        if since.tzinfo is None:
            since = since.replace(tzinfo=zone) if zone else since.astimezone()
        return cast("datetime", since.astimezone(UTC))
    except (ValueError, OverflowError, TypeError):
        raise BadParam(
            _("since={value!r} is not a date or a length of time.").format(value=given),
            hint='since="2026-11-01", since="7d", since=datetime.date(2026, 11, 1)',
        ) from None


# ---------------------------------------------------------------- aggregates


def _grouped(ledger: Ledger, by: str, where: Where, zone: tzinfo | None) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    keys = GROUPS[by]
    rows = ledger.totals(keys, where, tz=zone)
    if by == "day":
        rows = sorted(rows)
    data: dict[str, Any] = {}
    for number, key in enumerate(keys):
        named = [row[number] for row in rows]
        if key == "day":
            data[key] = pd.Series(np.array(named, "M8[D]").astype("M8[us]"))
        else:
            data[key] = pd.Categorical(named, categories=pd.Index(sorted(set(named)), dtype="str"))
    for number, figure in enumerate(FIGURES, len(keys)):
        values = np.array([row[number] for row in rows], np.int64)
        if figure.endswith("_us"):
            data[figure.replace("_us", "_at")] = _times(values // _SECOND_US * _SECOND_US)
        else:
            data[figure] = pd.array(values, dtype="Int64")
    return pd.DataFrame(data)


# ---------------------------------------------------------------- rows


_NEEDS: Final = {
    "latency_s": ("latency_us",),
    "reused": ("flags",),
    "generation_id": ("generation_no", "generation_name", "flags"),
    **dict.fromkeys(_PLACES, ("place",)),
    **dict.fromkeys(_MODELS, ("model",)),
}


def _calls(ledger: Ledger, names: Sequence[str], where: Where) -> pd.DataFrame:
    import pandas as pd

    raw = ledger.columns({fact for name in names for fact in _NEEDS.get(name, (name,))}, where)
    places = _codes(raw, "place", raw.places) if "place" in raw.facts else None
    models = _codes(raw, "model", raw.models) if "model" in raw.facts else None
    data: dict[str, Any] = {}
    for name in names:
        if name in _PLACES:
            data[name] = places(_PLACES.index(name))  # type: ignore[misc] # read, because it was asked for
        elif name in _MODELS:
            data[name] = models(_MODELS.index(name))  # type: ignore[misc]
        else:
            data[name] = _COLUMN[name](raw, name)
    # No copy: consolidating a million rows would hold them twice.
    return pd.DataFrame(data, columns=list(names), copy=False)


def _codes(raw: Columns, fact: str, words: dict[int, tuple[str, ...]]) -> Callable[[int], pd.Categorical]:
    """Makes categories of a word of each row's place or model: the words are looked up once each, not per row."""
    import numpy as np
    import pandas as pd

    numbers = raw.facts.pop(fact)  # not needed as such: its memory goes when the frame is made
    size = max(words, default=0) + 1
    seen = np.bincount(numbers, minlength=size)[:size] > 0 if len(numbers) else np.zeros(size, bool)

    def categorical(part: int) -> pd.Categorical:
        named = {no: _word(word[part], part, fact) for no, word in words.items() if seen[no]}
        fixed = {("place", _PLACES.index("source")): get_args(Surface)}.get((fact, part))
        categories = list(fixed) if fixed else sorted(set(named.values()))
        place_of = {name: code for code, name in enumerate(categories)}
        lookup = np.zeros(size, np.min_scalar_type(-max(len(categories), 1)))
        for no, name in named.items():
            lookup[no] = place_of[name]
        return pd.Categorical.from_codes(lookup[numbers], categories=pd.Index(categories, dtype="str"))

    return categorical


def _word(word: str, part: int, fact: str) -> str:
    if fact == "place" and part == _PLACES.index("tags"):
        return ", ".join(json.loads(word or "[]"))
    return word


def _times(values: Any, mask: Any = None) -> Any:
    import numpy as np
    import pandas as pd

    if mask is not None:
        values[mask] = np.iinfo(np.int64).min  # NaT
    return pd.DatetimeIndex(values.view("M8[us]"), tz="UTC")


def _time(raw: Columns, name: str) -> Any:
    return _times(raw.facts[name], raw.masks.get(name))


def _integer(raw: Columns, name: str) -> Any:
    import numpy as np
    import pandas as pd

    values, mask = raw.facts[name], raw.masks.get(name)
    if mask is None:
        mask = np.zeros(len(values), bool)
    else:
        values[mask] = 0
    return pd.arrays.IntegerArray(values, mask, copy=False)


def _latency(raw: Columns, _name: str) -> Any:
    import numpy as np

    values = raw.facts["latency_us"].astype(np.float64)
    values /= 1e6
    values[raw.masks["latency_us"]] = np.nan
    return values


def _reused(raw: Columns, _name: str) -> Any:
    return (raw.facts["flags"] & Flag.REUSED) != 0


def _status(raw: Columns, _name: str) -> Any:
    import pandas as pd

    return pd.Categorical.from_codes(raw.facts["status"], categories=pd.Index(STATUSES, dtype="str"))


def _generation(raw: Columns, _name: str) -> Any:
    """The server's ids: Int64 where it counts them, str where it names any of them."""
    named = raw.texts.get("generation_name")
    if named is None or all(name is None for name in named):
        return _integer(raw, "generation_no")
    missing = raw.masks["generation_no"]
    for row in (~missing).nonzero()[0]:
        named[row] = str(raw.facts["generation_no"][row])
    return _texts(named)


def _texts(values: Any) -> Any:
    """The `str` of pandas 3, `object` in pandas 2, whose `pd.array` would make a text of a missing value."""
    import pandas as pd

    return pd.Series(values, dtype="str").array


def _text(raw: Columns, name: str) -> Any:
    return _texts(raw.texts[name])


def _media(raw: Columns, _name: str) -> Any:
    return _texts([", ".join(json.loads(text)) for text in raw.texts["media"]])


_COLUMN: Final[dict[str, Callable[[Columns, str], Any]]] = {
    **dict.fromkeys(_DIRECT, _integer),
    "started_at": _time,
    "ended_at": _time,
    "latency_s": _latency,
    "reused": _reused,
    "status": _status,
    "generation_id": _generation,
    "params": _text,
    "prompt_hash": _text,
    "error": _text,
    "media": _media,
}
