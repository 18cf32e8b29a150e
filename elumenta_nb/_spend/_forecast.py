"""When the balance ends, from what was spent a day. PURE: numbers in, a forecast out; no date where data do not bear one.

The rate is the mean of the last whole weeks of complete days, days without spend included. The range is where 4 of 5
such futures end, by the spread of the days and of the weeks, whichever is wider.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from statistics import fmean, pvariance
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._errors import BadParam
from elumenta_nb._language import date as _date, gettext as _, ngettext, number, tokens
from elumenta_nb._render import card

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

__all__ = ["HORIZON_DAYS", "LEAST_ACTIVE", "LEAST_DAYS", "Forecast", "forecast"]

LEAST_DAYS: Final = 7
LEAST_ACTIVE: Final = 3  # days with spend
MOST_DAYS: Final = 28
HORIZON_DAYS: Final = 365
_WEEK: Final = 7
_SPREAD: Final = 1.2816  # of a normal distribution: 80 % lie within


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When `balance` tokens end at the rate of the last `days` complete days, `active` of them with spend.

    `ends_on` is the day they end at `per_day`; 4 of 5 such futures end between `earliest` and `latest` (``None``: in a
    year or later). Without `ends_on`, `reason` says why there is no date. `refills_on` is the plan's next refill.
    """

    balance: int | None
    days: int
    active: int
    tokens: int
    per_day: float
    ends_on: date | None = None
    earliest: date | None = None
    latest: date | None = None
    refills_on: date | None = None
    reason: str = ""

    @property
    def outlook(self) -> str:
        """The forecast in one sentence."""
        if self.ends_on is None or self.earliest is None:
            return self.reason
        if self.latest is None:
            return _("The balance ends about {day}: {earliest} at the earliest, perhaps not within a year.").format(
                day=_date(self.ends_on), earliest=_date(self.earliest)
            )
        return _("The balance ends about {day} (4 in 5: {earliest} to {latest}).").format(
            day=_date(self.ends_on), earliest=_date(self.earliest), latest=_date(self.latest)
        )

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Names and values for a card."""
        rows = [
            (_("Balance"), "–" if self.balance is None else tokens(self.balance)),
            (_("A day"), _("{n} on average").format(n=tokens(round(self.per_day)))),
            (
                _("Looked at"),
                _("{days}, {active} of them with spend, {tokens}").format(
                    days=ngettext("{n} complete day", "{n} complete days", self.days),
                    active=number(self.active),
                    tokens=tokens(self.tokens),
                ),
            ),
        ]
        if self.refills_on is not None:
            rows.append((_("Refilled"), _date(self.refills_on)))
        return tuple(rows)

    @property
    def basis(self) -> str:
        """What the forecast leaves out."""
        return _("Without refills and top-ups, and without what other channels spend unless it was booked.")

    def _repr_mimebundle_(self, **_kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return card(self.outlook, self.facts, hint=self.basis)

    def __str__(self) -> str:
        return self.outlook


def forecast(
    daily: Sequence[int], today: date, balance: int | None = None, *, refills_on: date | None = None
) -> Forecast:
    """The forecast from `daily`, the tokens of each complete day since the first spend, yesterday last.

    `today` is not among them: it is not over. Raises `BadParam` for a balance that cannot be.
    """
    if balance is not None and (type(balance) is not int or balance < 0):
        raise BadParam(_("A balance is a whole number of tokens, not {value!r}.").format(value=balance))
    weeks = min(len(daily), MOST_DAYS) // _WEEK
    seen = list(daily[-weeks * _WEEK :] if weeks else daily)
    rate = fmean(seen) if seen else 0.0
    known: dict[str, Any] = {
        "balance": balance,
        "days": len(seen),
        "active": sum(1 for spent in seen if spent),
        "tokens": sum(seen),
        "per_day": rate,
        "refills_on": refills_on,
    }
    if reason := _too_little(known):
        return Forecast(**known, reason=reason)
    assert balance is not None
    ends = balance / rate
    if ends > HORIZON_DAYS:
        return Forecast(**known, reason=_("At this rate the balance lasts longer than a year: no date."))
    spread = _SPREAD * math.sqrt(_variance(seen))
    late = _reached(balance, rate, -spread, len(seen))
    return Forecast(
        **known,
        ends_on=today + timedelta(days=math.floor(ends)),
        earliest=today + timedelta(days=math.floor(_reached(balance, rate, spread, len(seen)))),
        latest=None if late > HORIZON_DAYS else today + timedelta(days=math.ceil(late)),
    )


def _too_little(known: dict[str, Any]) -> str:
    """Why there is no date, or an empty string."""
    if known["days"] < LEAST_DAYS:
        return _("Too little data for a date: {have}, and {need} are needed.").format(
            have=ngettext("{n} complete day", "{n} complete days", known["days"]), need=number(LEAST_DAYS)
        )
    if not known["tokens"]:
        return ngettext(
            "Nothing was spent on the last {n} day: no date.",
            "Nothing was spent on the last {n} days: no date.",
            known["days"],
        )
    if known["active"] < LEAST_ACTIVE:
        return _("Too little data for a date: {have} of the last {days}, and {need} are needed.").format(
            have=ngettext("spend on {n} day", "spend on {n} days", known["active"]),
            days=number(known["days"]),
            need=number(LEAST_ACTIVE),
        )
    if known["balance"] is None:
        return _("The balance is not known: no date.")
    return ""


def _variance(daily: Sequence[int]) -> float:
    """Of a day; busy weeks and idle ones count where they spread more than independent days would."""
    days = pvariance(daily) * len(daily) / (len(daily) - 1)
    weeks = [sum(daily[at : at + _WEEK]) for at in range(0, len(daily), _WEEK)]
    if len(weeks) < 2:
        return days
    return max(days, pvariance(weeks) * len(weeks) / (len(weeks) - 1) / _WEEK)


def _reached(balance: int, rate: float, spread: float, days: int) -> float:
    """In how many days rate*t + spread*sqrt(t + t²/days) reaches the balance; the rate itself is only estimated."""
    low, high = 0.0, 4.0 * HORIZON_DAYS

    def spent(t: float) -> float:
        return rate * t + spread * math.sqrt(t + t * t / days)

    if spent(high) < balance:
        return math.inf
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if spent(middle) >= balance else (middle, high)
    return high
