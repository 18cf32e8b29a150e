"""The plan and package tables with roubles per token, and the cheapest way to n tokens a month.

A rouble figure of spend is an estimate: the API tells tokens, not which pool paid. Roubles are `Decimal` or whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from math import gcd
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._catalog import Package, Plan, catalog
from elumenta_nb._errors import BadParam
from elumenta_nb._language import gettext as _
from elumenta_nb._values import MAX_TOKENS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Mix", "cheapest_mix", "mixes", "per_token", "plans_frame"]

_KOPECK: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Mix:
    """What to buy for a month: at most one plan, and packages with how many of each."""

    plan: Plan | None
    packages: tuple[tuple[Package, int], ...]
    wanted: int

    @property
    def rubles(self) -> int:
        return (self.plan.rubles if self.plan else 0) + sum(package.rubles * n for package, n in self.packages)

    @property
    def tokens(self) -> int:
        """Of the month; what packages leave over stays, what the plan leaves over expires."""
        return _monthly(self.plan) + sum(package.tokens * n for package, n in self.packages)

    @property
    def left(self) -> int:
        return self.tokens - self.wanted

    @property
    def keeps(self) -> int:
        """Package tokens that are left for the next month."""
        packages = sum(package.tokens * n for package, n in self.packages)
        return min(self.left, packages)

    @property
    def name(self) -> str:
        parts = [self.plan.name] if self.plan else []
        parts += [package.name if n == 1 else f"{n} × {package.name}" for package, n in self.packages]
        return " + ".join(parts)


def per_token(rubles: int, tokens: int) -> Decimal | None:
    """Roubles per token to the kopeck; ``None`` where nothing is paid."""
    if not rubles:
        return None
    return (Decimal(rubles) / tokens).quantize(_KOPECK, ROUND_HALF_UP)


def cheapest_mix(monthly_tokens: int, *, need_api: bool = True) -> Mix:
    """The fewest roubles for so many tokens a month over one plan or none and packages; at equal cost the most tokens.

    With `need_api` the plan is one that has API access: without it nothing here works. The one-time tokens of the free
    plan do not come every month and do not count. Raises `BadParam` for a number that cannot be.
    """
    return mixes(monthly_tokens, need_api=need_api)[0]


def mixes(monthly_tokens: int, *, need_api: bool = True) -> list[Mix]:
    """The best mix with each plan, the cheapest first."""
    if type(monthly_tokens) is not int or not 0 <= monthly_tokens <= MAX_TOKENS:
        raise BadParam(
            _("Tokens a month are a whole number, not {value!r}.").format(value=monthly_tokens),
            hint="%elumenta plans 2000",
        )
    table = catalog()
    plans: list[Plan | None] = [plan for plan in table.plans if plan.monthly and (plan.has_api or not need_api)]
    if not need_api:
        plans.append(None)
    found = [Mix(plan, _packages(monthly_tokens - _monthly(plan)), monthly_tokens) for plan in plans]
    return sorted(found, key=lambda mix: (mix.rubles, -mix.tokens))


def _monthly(plan: Plan | None) -> int:
    return plan.tokens if plan is not None and plan.monthly else 0


def _packages(tokens: int) -> tuple[tuple[Package, int], ...]:
    """The cheapest packages for at least so many tokens: an exact unbounded knapsack, in units of their divisor.

    Let `best` be the package with the lowest price per token, k units large. Any k other packages include some whose
    sizes add up to a multiple of k (prefix sums modulo k), and `best` instead of those costs no more. So some optimum
    has fewer than k others: what they cannot reach is bought as `best`, and only the rest is counted out.
    """
    packages = catalog().packages
    unit = gcd(*(package.tokens for package in packages))
    best = min(packages, key=lambda package: Fraction(package.rubles, package.tokens))
    size = best.tokens // unit
    units = max(-(-tokens // unit), 0)
    reach = size * max(package.tokens for package in packages) // unit
    bulk = max(units - reach, 0) // size
    chosen = dict.fromkeys(packages, 0)
    chosen[best] = bulk
    rest = units - bulk * size
    last = _counted_out(rest)
    while rest > 0:
        chosen[last[rest]] += 1
        rest -= last[rest].tokens // unit
    return tuple((package, n) for package, n in sorted(chosen.items(), key=lambda item: -item[0].tokens) if n)


def _counted_out(units: int) -> list[Package]:
    """For every number of units up to this one, the package to buy first."""
    packages = catalog().packages
    unit = gcd(*(package.tokens for package in packages))
    cost, size = [0], [0]
    first = [packages[0]]
    for wanted in range(1, units + 1):
        best: tuple[int, int] | None = None
        for package in packages:
            own = package.tokens // unit
            rest = max(wanted - own, 0)
            found = cost[rest] + package.rubles, -size[rest] - own
            if best is None or found < best:
                best, chosen = found, package
        assert best is not None
        cost.append(best[0])
        size.append(-best[1])
        first.append(chosen)
    return first


def plans_frame(monthly_tokens: int | None = None, current_plan: str | None = None) -> pd.DataFrame:
    """Plans and packages with roubles per token; with a number of tokens a month the cheapest mixes come first.

    `kind` is ``mix``, ``plan`` or ``package``; `tokens` of a plan are monthly unless `monthly` is false; `left` is what
    a mix has beyond the tokens asked for. `current` marks your plan, in the tables and in the mixes that keep it;
    `current_plan` is its name or the API's (``"vip"``). `hour` and `day` are the limits of requests, 0 is none.
    """
    import pandas as pd

    table = catalog()
    mine = (current_plan or "").casefold()
    found = mixes(monthly_tokens) if monthly_tokens is not None else []
    rows = [{**_columns("mix", mix, mix.plan, mine), "left": mix.left} for mix in found]
    rows += [_columns("plan", plan, plan, mine) for plan in table.plans]
    rows += [_columns("package", package, None, mine) for package in table.packages]
    frame = pd.DataFrame(rows, columns=list(_DTYPES))
    return frame.astype({**_DTYPES, "kind": pd.CategoricalDtype(["mix", "plan", "package"])})


_DTYPES: Final = {
    "kind": "category",
    "name": "str",
    "tokens": "Int64",
    "rubles": "Int64",
    "rubles_per_token": "object",
    "left": "Int64",
    "monthly": "boolean",
    "api": "boolean",
    "hour": "Int64",
    "day": "Int64",
    "keeps_days": "Int64",
    "current": "bool",
}


def _columns(kind: str, item: Mix | Plan | Package, plan: Plan | None, mine: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": item.name,
        "tokens": item.tokens,
        "rubles": item.rubles,
        "rubles_per_token": per_token(item.rubles, item.tokens),
        "left": None,
        "monthly": plan.monthly if plan else None,
        "api": plan.has_api if plan else None,
        "hour": plan.hour if plan else None,
        "day": plan.day if plan else None,
        "keeps_days": plan.keeps_days if plan else None,
        "current": plan is not None and mine in {plan.name.casefold(), plan.api.casefold()},
    }
