"""The plan of a map: which calls it needs, which of them are paid already, what the rest costs and how long it takes.

`survey` reads the rows and sends nothing; `weigh` looks into store and ledger and asks for prices. Neither spends.
"""

from __future__ import annotations

import contextlib
import itertools
from array import array
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from elumenta_nb._errors import BadParam, ElumentaError
from elumenta_nb._language import gettext as _
from elumenta_nb._prices import unpriced

from ._rows import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elumenta_nb._ledger import BudgetState, Entry
    from elumenta_nb._services import Services
    from elumenta_nb._values import Limits, Quote

    from ._rows import Rows

__all__ = ["Fate", "Plan", "Survey", "Weighed", "affordable", "limits_of", "seconds_for", "survey", "weigh"]

SHOWN: Final = 3  # of the rows that are refused


class Fate(IntEnum):
    """What becomes of a call."""

    BUY = 0
    STORED = 1  # its take is here
    OPEN = 2  # the ledger has a row whose outcome is open: waited for, not bought
    PAID = 3  # the ledger has a paid row and the store no take: fetched
    NOT_STORED = 4  # and only what is stored may be shown


@dataclass(frozen=True, slots=True)
class Survey:
    """The rows as unique calls. `call_of` says which call a row has (-1: refused), `first` which row a call comes from."""

    call_of: array[int]
    first: array[int]
    kinds: array[int]
    fingerprints: list[bytes]
    refused: dict[int, str]

    def rows_of(self, numbers: set[int]) -> Iterator[int]:
        return (row for row, number in enumerate(self.call_of) if number in numbers)


def survey(rows: Rows, services: Services, api: str) -> Survey:
    """Make every call once. Raises `BadParam` naming the row; nothing is sent."""
    call_of, first, kinds = array("l"), array("l"), array("l")
    seen: dict[bytes, int] = {}
    fingerprints: list[bytes] = []
    refused: dict[int, str] = {}
    wrong: list[tuple[int, BadParam]] = []
    alone = rows.spec.reuse == "off"  # each row is asked for, equal or not
    for i in range(len(rows)):
        try:
            asked = rows.at(i)
        except Refused as why:
            refused[i] = str(why)
            call_of.append(-1)
            continue
        except BadParam as error:
            wrong.append((i, error))
            if len(wrong) > SHOWN:
                break
            continue
        mark = bytes.fromhex(services.store.fingerprint(asked.call, api))
        number = len(fingerprints) if alone else seen.setdefault(mark, len(fingerprints))
        if number == len(fingerprints):
            fingerprints.append(mark)
            first.append(i)
            kinds.append(asked.kind)
        call_of.append(number)
    if wrong:
        raise _wrong(rows, wrong)
    return Survey(call_of, first, kinds, fingerprints, refused)


def _wrong(rows: Rows, wrong: list[tuple[int, BadParam]]) -> BadParam:
    i, first = wrong[0]
    others = [rows.label(other) for other, _error in wrong[1:SHOWN]]
    more = (", …" if len(wrong) > SHOWN else "") if others else ""
    note = " " + _("Also wrong: {rows}.").format(rows=", ".join(others) + more) if others else ""
    return BadParam(f"{rows.label(i)}: {first}{note}", hint=first.hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a map will do, before it does anything. Tokens are Elumenta tokens, counted for what is bought.

    `price` is the most the calls to buy are quoted at, `low` the least where the server gives a range; `exact` says
    that every price is the server's. `affordable` is how many of the calls the map's budget has room for.
    """

    model: str
    category: str
    sandbox: bool
    rows: int
    calls: int  # after equal rows were put together
    refused: int
    stored: int
    open: int
    paid: int
    missing: int  # only stored results may be shown, and these are not
    to_buy: int
    price: int
    low: int
    exact: bool
    budget: int | None
    budget_used: int
    affordable: int
    hour: int | None  # requests an hour the account has; 0 is unlimited
    seconds: float
    refusals: tuple[str, ...] = ()
    map_id: str = ""

    @property
    def budget_left(self) -> int | None:
        """What the map's budget still has."""
        return None if self.budget is None else max(0, self.budget - self.budget_used)

    @property
    def at_risk(self) -> int:
        """The most that this run spends, as far as the quotes hold."""
        left = self.budget_left
        return self.price if left is None else min(self.price, left)

    def __str__(self) -> str:
        from ._words import plan_lines

        return "\n".join(f"{name}: {value}" if name else value for name, value in plan_lines(self))

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002 - IPython's protocol
        from ._words import plan_html

        return {"text/plain": str(self), "text/html": plan_html(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """The plan, and by call: its fate, the row of the ledger where there is one, and by kind: quote and hold."""

    plan: Plan
    fates: bytearray
    entries: dict[int, Entry]
    quotes: dict[int, Quote]
    held: dict[int, int]
    account: str

    def numbers(self, fate: Fate) -> Iterator[int]:
        return (number for number, found in enumerate(self.fates) if found == fate)


async def weigh(
    rows: Rows, survey: Survey, services: Services, *, budget: int | None, concurrency: int, map_id: str
) -> Weighed:
    """Look up what is paid, ask what the rest costs. Raises what the server says about parameters, key or plan."""
    spec, base = rows.spec, rows.base
    account = await services.account() if services.api else ""
    fates, entries = bytearray(len(survey.fingerprints)), {}
    if spec.reuse != "off" or not services.api:
        entries = await _paid_before(rows, survey, services, account, fates)
    if spec.reuse == "only" or not services.api:
        for number, fate in enumerate(fates):
            if fate != Fate.STORED:
                fates[number] = Fate.NOT_STORED
    counts = [fates.count(fate) for fate in range(len(Fate))]
    wanted = [survey.kinds[number] for number, fate in enumerate(fates) if fate == Fate.BUY]
    quotes: dict[int, Quote] = {}
    held: dict[int, int] = {}
    for kind in dict.fromkeys(wanted):
        quotes[kind] = await services.prices.quote(rows.kinds[kind])
        held[kind] = services.prices.held(rows.kinds[kind], quotes[kind])
        if not held[kind] and not quotes[kind].exact:
            raise unpriced(base.model.slug)
    state = None if not services.api else _map_budget(services, account, map_id)
    limit = budget if budget is not None else state.limit if state else None
    left = None if limit is None else max(0, limit - (state.used if state else 0))
    limits = await limits_of(services) if wanted else services.client.limits
    plan = Plan(
        model=base.model.slug,
        category=base.category.name,
        sandbox=services.api == "sandbox",
        rows=len(rows),
        calls=len(survey.fingerprints),
        refused=len(survey.refused),
        stored=counts[Fate.STORED],
        open=counts[Fate.OPEN],
        paid=counts[Fate.PAID],
        missing=counts[Fate.NOT_STORED],
        to_buy=len(wanted),
        price=sum(held[kind] for kind in wanted),
        low=sum(quotes[kind].tokens if quotes[kind].exact else quotes[kind].minimum for kind in wanted),
        exact=all(quote.exact for quote in quotes.values()),
        budget=limit,
        budget_used=state.used if state else 0,
        affordable=len(wanted) if left is None else affordable(left, [held[kind] for kind in wanted]),
        hour=limits.hour,
        seconds=seconds_for(len(wanted), base.typical_s, limits, concurrency),
        refusals=tuple(f"{rows.label(i)}: {why}" for i, why in itertools.islice(survey.refused.items(), SHOWN)),
        map_id=map_id,
    )
    return Weighed(plan=plan, fates=fates, entries=entries, quotes=quotes, held=held, account=account)


async def _paid_before(
    rows: Rows, survey: Survey, services: Services, account: str, fates: bytearray
) -> dict[int, Entry]:
    base = rows.base
    names = [mark.hex() for mark in survey.fingerprints]
    stored = await to_thread.run_sync(
        lambda: services.store.holds(names, category=base.category.name, model=base.model.slug)
    )
    for number, name in enumerate(names):
        if name in stored:
            fates[number] = Fate.STORED
    entries: dict[int, Entry] = {}
    if not account:
        return entries
    missing = {name: number for number, name in enumerate(names) if fates[number] != Fate.STORED}
    known = await to_thread.run_sync(lambda: services.ledger.of_fingerprints(account, services.api, list(missing)))
    for name, found in known.items():
        number = missing[name]
        paid = [entry for entry in found if not entry.open]
        entries[number] = (paid or found)[-1]
        fates[number] = Fate.PAID if paid else Fate.OPEN
    return entries


def _map_budget(services: Services, account: str, map_id: str) -> BudgetState | None:
    states = services.ledger.budgets(account=account, api=services.api)
    return next((state for state in states if state.per == "map" and state.target == map_id), None)


def affordable(left: int, prices: list[int]) -> int:
    """How many of the calls fit, one after the other."""
    count = 0
    for price in prices:
        if price <= left:
            left -= price
            count += 1
    return count


async def limits_of(services: Services) -> Limits:
    """The account's limits: as the last reply told them, else as its profile does."""
    from elumenta_nb._values import Limits

    limits = services.client.limits
    if limits.hour is None:
        with contextlib.suppress(ElumentaError):
            profile = await services.client.profile()
            return Limits(hour=profile.limit_hour, hour_left=profile.limit_hour, day=profile.limit_day)
    return limits


def seconds_for(calls: int, typical_s: tuple[float, float], limits: Limits, concurrency: int) -> float:
    """About how long so many calls take: their own time, or the account's hours where it has a limit."""
    low, high = typical_s
    own = calls * (low + high) / 2 / max(1, min(concurrency, calls or 1))
    if not limits.hour:
        return own
    now = limits.hour if limits.hour_left is None else limits.hour_left
    if calls <= now:
        return own
    return max(own, -(-(calls - now) // limits.hour) * 3600.0)
