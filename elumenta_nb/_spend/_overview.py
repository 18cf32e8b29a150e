"""What a dashboard shows, read from the ledger as sums made in SQL: one scan of the calls of a period, whatever is asked.

Rows of a million calls never become Python objects here; frames hold one row per day, or per group.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._ledger import Where, at, micros
from elumenta_nb._ledger.totals import FIGURES

from ._forecast import MOST_DAYS, Forecast, forecast
from ._plans import Mix, cheapest_mix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    import pandas as pd

    from elumenta_nb._ledger import Ledger
    from elumenta_nb._values import Balance

__all__ = ["Advice", "Overview", "advice", "choices", "ending", "groups", "overview", "since", "spent_daily"]

MONTH_DAYS: Final = 30
_ADVICE_DAYS: Final = 7  # complete days a month is worked out from, at least
_EPOCH: Final = date(1970, 1, 1)
_DAY: Final = ("day", "category", "model")
_COARSE: Final = ((130, "D"), (900, "W"), (10**6, "M"))  # up to so many days, bars of that length


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Sums of a period: `days` are (day, category, model, tokens)."""

    calls: int = 0
    tokens: int = 0
    held: int = 0
    failed: int = 0
    reused: int = 0
    saved: int = 0
    days: tuple[tuple[date, str, str, int], ...] = ()

    def over_time(self, by: str, begins: date | None, ends: date) -> pd.DataFrame:
        """Tokens by ``"category"`` or ``"model"``, the dearest first, for each day, week or month of the period."""
        import pandas as pd

        model = by == "model"
        begins = begins or min((row[0] for row in self.days), default=ends)
        unit = next(unit for most, unit in _COARSE if (ends - begins).days <= most)
        every = pd.period_range(begins, ends, freq=unit)
        sums: Counter[str] = Counter()
        cells: Counter[tuple[Any, str]] = Counter()
        for day, of_category, of_model, spent in self.days:
            name = of_model if model else of_category
            sums[name] += spent
            cells[pd.Period(day, unit), name] += spent
        names = [name for name, total in sums.most_common() if total]
        table = pd.DataFrame(
            {name: [cells[period, name] for period in every] for name in names}, index=every.start_time, dtype="Int64"
        )
        table.index.name, table.columns.name = "start", by
        return table


def since(days: int | None, today: date, tz: tzinfo | None = None) -> int | None:
    """When a period of so many days, today among them, begins: microseconds UTC of a local midnight."""
    if days is None:
        return None
    begins = datetime.combine(today - timedelta(days=days - 1), time(), tz)
    return micros((begins if tz else begins.astimezone()).astimezone(UTC))


def overview(ledger: Ledger, where: Where, tz: tzinfo | None = None) -> Overview:
    """The sums of the calls that fit."""
    rows = ledger.totals(_DAY, where, tz=tz)
    keys = len(_DAY)
    named = {
        figure: sum(row[keys + FIGURES.index(figure)] for row in rows)
        for figure in ("calls", "tokens", "held", "failed", "reused", "saved")
    }
    tokens = keys + FIGURES.index("tokens")
    days = tuple((_EPOCH + timedelta(days=row[0]), row[1], row[2], row[tokens]) for row in rows)
    return Overview(**named, days=days)


def groups(ledger: Ledger, keys: Sequence[str], where: Where, n: int) -> pd.DataFrame:
    """The n dearest groups that cost or hold something: keys, then figures."""
    import pandas as pd

    rows = ledger.totals(tuple(keys), where)
    table = pd.DataFrame(rows, columns=[*keys, *FIGURES])
    return table.loc[(table["tokens"] > 0) | (table["held"] > 0)].head(n).reset_index(drop=True)


def choices(ledger: Ledger, api: str | None) -> dict[str, list[str]]:
    """What the filters can be set to, the dearest first. A model stands under its category."""
    where = Where(api=api)
    return {
        key: list(dict.fromkeys(str(row[0]) for row in ledger.totals((key,), where)))
        for key in ("account", "notebook", "category", "model", "source")
    }


def spent_daily(ledger: Ledger, where: Where, today: date, tz: tzinfo | None = None) -> list[int]:
    """Tokens of each complete day since the first charged one, at most of the last 30; yesterday last."""
    where = replace(where, since_us=since(MONTH_DAYS + 1, today, tz), until_us=since(1, today, tz))
    tokens = FIGURES.index("tokens") + 1
    whole = ledger.totals((), replace(where, since_us=None, until_us=None))
    if not whole:
        return []
    rows = {_EPOCH + timedelta(days=row[0]): row[tokens] for row in ledger.totals(("day",), where, tz=tz)}
    first = at(whole[0][FIGURES.index("first_us")]).astimezone(tz).date()
    begins = max(first, today - timedelta(days=MONTH_DAYS))
    return [rows.get(begins + timedelta(days=n), 0) for n in range((today - begins).days)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The cheapest way to buy `monthly` tokens; of `days` days, so with less than a month it is worked out."""

    days: int
    monthly: int
    mix: Mix | None


def advice(daily: Sequence[int]) -> Advice:
    """What to buy for a month like the last 30 days; no mix from less than a week or nothing spent."""
    days = len(daily)
    monthly = -(-sum(daily) * MONTH_DAYS // days) if days else 0
    mix = cheapest_mix(monthly) if days >= _ADVICE_DAYS and monthly else None
    return Advice(days=days, monthly=monthly, mix=mix)


def ending(daily: Sequence[int], today: date, balance: Balance | None) -> Forecast:
    """When the balance ends, by the last four weeks."""
    return forecast(list(daily)[-MOST_DAYS:], today, balance)
