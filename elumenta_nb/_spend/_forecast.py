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
from elumenta_nb._values import Balance

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
    year or later). Without `ends_on`, `reason` says why there is no date. `refills_on` is the plan's next refill, and
    `expiring` the tokens of the plan that will be left when they expire, on `expires_on`; 0 where nobody tells that.
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
    expires_on: date | None = None
    expiring: int = 0
    reason: str = ""

    @property
    def outlook(self) -> str:
        """The forecast in a sentence, and one more where tokens expire before they are used."""
        return " ".join(filter(None, [self._end, self._expiry]))

    @property
    def _expiry(self) -> str:
        if not self.expiring or self.expires_on is None:
            return ""
        return _("About {tokens} of the plan expire on {day}, unused.").format(
            tokens=tokens(self.expiring), day=_date(self.expires_on)
        )

    @property
    def _end(self) -> str:
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


def forecast(daily: Sequence[int], today: date, balance: int | Balance | None = None) -> Forecast:
    """The forecast from `daily`, the tokens of each complete day since the first spend, yesterday last.

    `today` is not among them: it is not over. A `balance` as the account tells it may know of a refill, and of tokens
    that expire. Raises `BadParam` for one that cannot be.
    """
    account = balance if isinstance(balance, Balance) else None
    balance = account.tokens if account is not None else balance
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
        "refills_on": account.refills_at.astimezone().date() if account and account.refills_at else None,
    }
    if account is not None and len(seen) >= LEAST_DAYS and known["active"] not in range(1, LEAST_ACTIVE):
        known |= _expiring(account, rate, today)
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


def _expiring(account: Balance, rate: float, today: date) -> dict[str, Any]:
    """What is left of the plan's tokens when they expire; they are used before those of packages."""
    if account.expires_at is None or account.plan_tokens is None:
        return {}
    expires_on = account.expires_at.astimezone().date()
    left = round(min(account.plan_tokens, account.tokens) - rate * (expires_on - today).days)
    return {"expires_on": expires_on, "expiring": left} if left > 0 and expires_on >= today else {}


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
