"""What can be asked of a spend frame: sums, a time line, the dearest calls, roubles. PURE: frame in, frame out.

Each question names the columns it needs; a frame without them is refused by name, never guessed at.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._catalog import Package, Plan, catalog, closest
from elumenta_nb._errors import BadParam
from elumenta_nb._language import gettext as _, number
from elumenta_nb._ledger.totals import offsets

from ._frames import GROUPS, zone_of

if TYPE_CHECKING:
    from datetime import tzinfo

    import pandas as pd

__all__ = [
    "Rate",
    "cumulative",
    "daily",
    "dearest",
    "grouped",
    "last_balance",
    "over_time",
    "rate_of",
    "require",
    "with_rubles",
]

FREQUENCIES: Final = {"h": "h", "d": "D", "w": "W", "m": "M"}
_KOPECK: Final = Decimal("0.01")
_CELL: Final = "cell"
_NEEDS: Final = {"cell": ("cell_id", "label"), "day": ("started_at",), "tag": ("tags",)}
_FIGURES: Final = ("started_at", "tokens", "held", "status", "reused")


def require(frame: pd.DataFrame, *columns: str) -> None:
    """Raises `BadParam` naming the columns a spend frame has and this one lacks."""
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise BadParam(
            _("This is no spend frame: it has no column {names}.").format(names=", ".join(missing)),
            hint=_("el.spend() makes one; a selection of its columns has to keep these."),
        )
    for name in set(columns) & {"tokens", "held"}:
        if frame[name].dtype.kind not in "iu":
            raise BadParam(
                _("The column {name} holds {dtype}, not whole tokens.").format(name=name, dtype=frame[name].dtype)
            )
    if "started_at" in columns and getattr(frame["started_at"].dtype, "tz", None) is None:
        raise BadParam(
            _("The column started_at holds {dtype}, not times with a zone.").format(dtype=frame["started_at"].dtype)
        )


def grouped(frame: pd.DataFrame, by: str, tz: str | tzinfo | None = None) -> pd.DataFrame:
    """As ``spend(by=…)``, of the calls of this frame: also by any column of words.

    `saved` counts what the paid call of a reused one cost, where both are in the frame.
    """
    import pandas as pd

    keys = GROUPS.get(by) or (_word_column(frame, by),)
    require(frame, *_FIGURES, *(name for key in keys for name in _NEEDS.get(key, (key,))))
    work = pd.DataFrame(
        {
            "tokens": frame["tokens"],
            "held": frame["held"],
            "failed": (frame["status"] == "failed").astype("Int64"),
            "reused": frame["reused"].astype("Int64"),
            "saved": _saved(frame),
            "started_at": frame["started_at"],
            **{key: _key(frame, key, tz) for key in keys},
        }
    )
    if "tag" in keys:
        work = work.explode("tag")
    found = (
        work.groupby(list(keys), observed=True, sort=True)
        .agg(
            calls=("tokens", "size"),
            tokens=("tokens", "sum"),
            held=("held", "sum"),
            failed=("failed", "sum"),
            reused=("reused", "sum"),
            saved=("saved", "sum"),
            first_at=("started_at", "min"),
            last_at=("started_at", "max"),
        )
        .reset_index()
    )
    counts = ("calls", "tokens", "held", "failed", "reused", "saved")
    found = found.astype(dict.fromkeys(counts, "Int64"))
    for name in ("first_at", "last_at"):
        found[name] = found[name].dt.floor("s")
    for key in keys:
        if key != "day":
            named = found[key].astype("str")
            found[key] = pd.Categorical(named, categories=pd.Index(sorted(set(named)), dtype="str"))
    if "day" not in keys:
        order = ["tokens", "calls", *keys]
        found = found.sort_values(order, ascending=[False, False, *(True for _key in keys)], ignore_index=True)
    return found


def _word_column(frame: pd.DataFrame, by: str) -> str:
    words = [name for name in frame.columns if str(frame[name].dtype) == "category"]
    if by in words:
        return by
    near = closest(by, [*GROUPS, *words])
    hint = _("Did you mean {name}?").format(name=near) if near else ", ".join(dict.fromkeys([*GROUPS, *words]))
    raise BadParam(_("There is no {what} {name!r}.").format(what=_("group"), name=by), hint=hint)


def _key(frame: pd.DataFrame, key: str, tz: str | tzinfo | None) -> Any:
    if key == "day":
        return _local(frame["started_at"], tz).dt.floor("D")
    if key == _CELL:
        label = frame["label"].astype("str")
        return label.where(label != "", frame["cell_id"].astype("str"))
    if key == "tag":
        return frame["tags"].astype("str").str.split(", ")
    return frame[key]


def _saved(frame: pd.DataFrame) -> Any:
    import pandas as pd

    if not {"id", "restored_from"} <= set(frame.columns):
        return pd.Series(0, index=frame.index, dtype="Int64")
    paid = frame.set_index("id")["tokens"]
    return frame["restored_from"].map(paid[~paid.index.duplicated()]).astype("Int64").fillna(0)


def _local(times: pd.Series, tz: str | tzinfo | None) -> pd.Series:
    """Times as the clock on the wall showed them: without a zone, correct on both sides of a change of it."""
    import numpy as np
    import pandas as pd

    us = times.dt.tz_convert("UTC").dt.tz_localize(None).astype("M8[us]").to_numpy().view(np.int64)
    if not len(us):
        return pd.Series(us.view("M8[us]"), index=times.index)
    pieces = offsets(int(us.min()), int(us.max()), zone_of(tz))
    ends, shifts = np.array([end for end, _shift in pieces]), np.array([shift for _end, shift in pieces])
    return pd.Series((us + shifts[np.searchsorted(ends, us, side="right")]).view("M8[us]"), index=times.index)


def over_time(
    frame: pd.DataFrame, freq: str = "D", by: str | None = "category", tz: str | tzinfo | None = None
) -> pd.DataFrame:
    """Tokens per hour, day, week or month (`freq` ``h D W M``), a column for each value of `by`, the dearest first.

    The index is the beginning of each local period, none left out. Weeks begin on Monday.
    """
    import pandas as pd

    period = FREQUENCIES.get(str(freq).lower())
    if period is None:
        raise BadParam(
            _("There is no {what} {name!r}.").format(what=_("period"), name=freq), hint=", ".join(FREQUENCIES.values())
        )
    keys = (by,) if by in GROUPS else () if by is None else (_word_column(frame, by),)
    require(frame, "started_at", "tokens", *(name for key in keys for name in _NEEDS.get(key, (key,))))
    if by == "day":
        raise BadParam(_("Over time goes by something else than the day."), hint='by="category", by="model"')
    starts = _local(frame["started_at"], tz).dt.to_period(period).dt.start_time.astype("M8[us]")
    work = pd.DataFrame({"start": starts, "tokens": frame["tokens"]})
    work["key"] = "tokens" if by is None else _key(frame, by, tz)
    if by == "tag":
        work = work.explode("key")
    table = work.astype({"key": "str"}).pivot_table(
        index="start", columns="key", values="tokens", aggfunc="sum", fill_value=0, observed=True
    )
    table = table[table.sum().sort_values(ascending=False, kind="stable").index]
    if len(table):
        every = pd.period_range(table.index[0], table.index[-1], freq=period).start_time.astype("M8[us]")
        table = table.reindex(every, fill_value=0)
    table.index.name, table.columns.name = "start", by
    return table.astype("Int64")


def dearest(frame: pd.DataFrame, n: int = 10) -> pd.DataFrame:
    """The n calls that cost most, the dearest first; equal ones as they stand."""
    require(frame, "tokens")
    if type(n) is not int or n < 1:
        raise BadParam(_("{name} is a whole number of at least 1, not {value!r}.").format(name="n", value=n))
    return frame.sort_values("tokens", ascending=False, kind="stable").head(n)


def cumulative(frame: pd.DataFrame) -> pd.DataFrame:
    """`started_at`, `tokens` and their running `total`, the oldest first; reused and failed calls are left out."""
    require(frame, "started_at", "tokens")
    table = frame.loc[frame["tokens"] > 0, ["started_at", "tokens"]].sort_values("started_at", kind="stable")
    return table.assign(total=table["tokens"].cumsum().astype("Int64")).reset_index(drop=True)


def daily(frame: pd.DataFrame, today: Any, tz: str | tzinfo | None = None) -> list[int]:
    """Tokens of each complete local day since the first spend, yesterday last."""
    import pandas as pd

    require(frame, "started_at", "tokens")
    table = over_time(frame[frame["tokens"] > 0], "D", None, tz)
    if not len(table):
        return []
    days = pd.date_range(table.index[0], pd.Timestamp(today) - timedelta(days=1), unit="us")
    return [int(spent) for spent in table["tokens"].reindex(days, fill_value=0)]


def last_balance(frame: pd.DataFrame) -> int | None:
    """The last balance a reply told, less what was charged after it; ``None`` when none told it."""
    require(frame, "started_at", "tokens")
    if "balance_after" not in frame.columns:
        return None
    told = frame.loc[frame["balance_after"].notna()]
    if not len(told):
        return None
    end = "ended_at" if "ended_at" in frame.columns else "started_at"
    last = told.sort_values(end, kind="stable").iloc[-1]
    return max(int(last["balance_after"]) - int(frame.loc[frame[end] > last[end], "tokens"].sum()), 0)


# ---------------------------------------------------------------- roubles


class Rate:
    """Roubles per token, and what they rest on."""

    __slots__ = ("basis", "per_token")

    def __init__(self, per_token: Decimal, basis: str) -> None:
        self.per_token, self.basis = per_token, basis

    def rubles(self, tokens: int) -> Decimal:
        """To the kopeck."""
        return (self.per_token * tokens).quantize(_KOPECK, ROUND_HALF_UP)


def rate_of(plan: str | None = None, package: str | None = None, rate: str | int | Decimal | None = None) -> Rate:
    """The rate of a plan, of a package, or the one given. Raises `BadParam` unless exactly one is given and known."""
    if sum(given is not None for given in (plan, package, rate)) != 1:
        raise BadParam(
            _("Roubles need one basis: a plan, a package or a rate."),
            hint='plan="VIP", package="Standard", rate="1.15"',
        )
    if rate is not None:
        return _given(rate)
    items: list[Plan | Package]
    if plan is not None:
        wanted, items = plan, [item for item in catalog().plans if item.rubles]
        known = {name.casefold(): item for item in items for name in (item.name, item.api)}  # type: ignore[union-attr]
        what = _("plan with a price")
    else:
        wanted, items = str(package), list(catalog().packages)
        known = {item.name.casefold(): item for item in items}
        what = _("package")
    item = known.get(str(wanted).casefold())
    if item is None:
        raise BadParam(
            _("There is no {what} {name!r}.").format(what=what, name=wanted),
            hint=", ".join(found.name for found in items),
        )
    per_token = Decimal(item.rubles) / item.tokens
    basis = _("{name}: {rubles} ₽ for {n} tokens, {rate} ₽ a token").format(
        name=item.name, rubles=number(item.rubles), n=number(item.tokens), rate=number(per_token, 2)
    )
    return Rate(per_token, basis)


def _given(rate: str | int | Decimal) -> Rate:
    value = Decimal("NaN")
    if not isinstance(rate, bool | float):  # a float is not the number that was written
        with suppress(TypeError, ValueError, InvalidOperation):
            value = Decimal(rate)
    if not value.is_finite() or not 0 <= value < 10**6:
        raise BadParam(
            _("A rate is roubles per token as a text or a Decimal, not {value!r}.").format(value=rate),
            hint='rate="1.15"',
        )
    digits = min(max(2, -int(value.as_tuple().exponent)), 9)
    return Rate(value, _("{rate} ₽ a token, as given").format(rate=number(value, digits)))


def with_rubles(frame: pd.DataFrame, rate: Rate) -> pd.DataFrame:
    """The frame with a column `rubles` of `Decimal`, each to the kopeck, and in ``attrs`` the basis and the total."""
    import pandas as pd

    require(frame, "tokens")
    rubles = [rate.rubles(int(n)) for n in frame["tokens"].fillna(0)]
    out = frame.assign(rubles=pd.Series(rubles, index=frame.index, dtype="object"))
    out.attrs["rubles_basis"] = rate.basis
    out.attrs["rubles_total"] = str(rate.rubles(int(frame["tokens"].sum())))
    return out
