"""What the next click costs, beside the balance and the budgets: asked for behind the panel, a moment after a change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._errors import ElumentaError, RateLimited, TransportError
from elumenta_nb._language import gettext as _, number, tokens

from ._look import facts, notice
from ._stage import Latest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from elumenta_nb._catalog import Model
    from elumenta_nb._session import Session
    from elumenta_nb._values import Ask, Origin

    from ._stage import Stage

__all__ = ["Price", "PriceLine", "Purse"]

DELAY_S: Final = 0.3
AGAIN_S: Final = (5.0, 20.0, 60.0)  # when a price that did not come is asked for again, unless something changes


@dataclass(frozen=True, slots=True)
class Price:
    """A price in Elumenta tokens as it is shown: one figure of the server, or the range of the table until then.

    `low` and `high` are of all `count` results together.
    """

    low: int
    high: int
    exact: bool = False
    count: int = 1

    @classmethod
    def of_model(cls, model: Model | None, count: int = 1) -> Price | None:
        """The range of a model; ``None`` where nobody has told one."""
        if model is None or not model.maximum:
            return None
        return cls(model.minimum * count, model.maximum * count, count=count)

    def __str__(self) -> str:
        if self.low != self.high:
            return f"{number(self.low)}–{tokens(self.high)}"
        said = tokens(self.high) if self.exact else _("about {tokens}").format(tokens=tokens(self.high))
        return f"{said} ({self.count} × {number(self.high // self.count)})" if self.count > 1 else said


@dataclass(frozen=True, slots=True)
class Purse:
    """What the price is weighed against. `budgets` are (used, limit, name)."""

    mode: str = ""
    balance: int | None = None
    budgets: tuple[tuple[int, int, str], ...] = ()


class PriceLine:
    """Shows the price and keeps it true. `told` is called on the stage with each price that is shown."""

    def __init__(
        self,
        session: Callable[[], Session],
        origin: Callable[[], Origin],
        stage: Stage,
        html: Any,
        told: Callable[[], None],
    ) -> None:
        self._session = session
        self._origin = origin
        self._stage = stage
        self._html = html
        self._told = told
        self._quotes = Latest(stage, DELAY_S)
        self._purses = Latest(stage, 0.0)
        self._failed: tuple[str, ...] = ()
        self.delay_s, self.again_s = DELAY_S, AGAIN_S
        self.price: Price | None = None
        self.purse = Purse()

    @property
    def is_dear(self) -> bool:
        """Whether this price needs a second yes."""
        limit = self.confirm_above
        return self.price is not None and bool(limit) and self.price.high > limit

    @property
    def confirm_above(self) -> int:
        """From how many Elumenta tokens on a second yes is asked for; 0 is never. Nothing is asked over the network."""
        try:
            return self._session().settings.confirm_above
        except ElumentaError:  # nothing can be bought then
            return 0

    def begin(self, model: Model | None, count: int, make: Callable[[], Ask]) -> None:
        """The parameters changed: show the range of the model and ask for the price of exactly this."""
        self.price = Price.of_model(model, count)
        self._failed = ()
        self._draw()
        if model is not None:
            self._quotes.ask(lambda is_last: self._ask(make, is_last), in_s=self.delay_s)

    def refresh(self) -> None:
        """Ask for balance and budgets."""
        self._purses.ask(self._look)

    def _ask(self, make: Callable[[], Ask], is_last: Callable[[], bool], tries: int = 0) -> None:
        price: Price | None = None
        failed: tuple[str, ...] = ()
        may_pass = False
        try:
            ask = make()
            quote, total = self._session().due(ask)
            low, high = (total, total) if quote.exact else (quote.minimum * ask.count, quote.maximum * ask.count)
            price = Price(low, max(total, high), exact=quote.exact, count=ask.count)
            may_pass = not quote.exact
        except ElumentaError as error:
            failed = (error.message, *error.hint.splitlines())
            may_pass = isinstance(error, RateLimited | TransportError)
        if is_last():
            self._stage.do(lambda: self._show(price, failed) if is_last() else None)
            if may_pass and tries < len(self.again_s):
                self._quotes.ask(lambda still: self._ask(make, still, tries + 1), in_s=self.again_s[tries])

    def _show(self, price: Price | None, failed: tuple[str, ...]) -> None:
        self.price = price or self.price
        self._failed = failed
        self._draw()

    def _look(self, is_last: Callable[[], bool]) -> None:
        purse = look(self._session, self._origin())
        if is_last():
            self._stage.do(lambda: self._weigh(purse))

    def _weigh(self, purse: Purse) -> None:
        self.purse = purse
        self._draw()

    def _draw(self) -> None:
        value = facts(
            _("SANDBOX") + " · " + self._words() if self.purse.mode == "sandbox" else self._words(), self._others()
        )
        if self._failed:
            value += notice("warn", _("No exact price yet"), self._failed)
        if self._html.value != value:
            self._html.value = value
        self._told()

    def _words(self) -> str:
        return str(self.price) if self.price is not None else _("price not known")

    def _others(self) -> list[tuple[str, bool]]:
        others: list[tuple[str, bool]] = (
            [(_("your account is not charged"), False)] if self.purse.mode == "sandbox" else []
        )
        high = self.price.high if self.price is not None else 0
        if self.purse.balance is not None:
            left = _("balance {n}").format(n=number(self.purse.balance))
            is_short = high > self.purse.balance
            others.append((left + (f" – {_('not enough')}" if is_short else ""), is_short))
        for used, limit, name in self.purse.budgets:
            line = _("budget {used} of {limit}").format(used=number(used), limit=number(limit)) + f" ({name})"
            is_over = used + high > limit
            others.append((line + (f" – {_('would be overrun')}" if is_over else ""), is_over))
        return others


def look(session: Callable[[], Session], origin: Origin) -> Purse:
    """Balance and the budgets that count here, as far as they can be learned."""
    found = Purse()
    try:
        now = session()
        found = Purse(mode=now.mode)
        if now.mode == "only":
            return found
        found = replace(found, balance=now.balance().tokens)
        return replace(found, budgets=_budgets(now, origin))
    except ElumentaError:
        return found


def _budgets(session: Session, origin: Origin) -> tuple[tuple[int, int, str], ...]:
    from elumenta_nb._buying import KERNEL

    tags: Sequence[str] = (*session.tags, *origin.tags)
    return tuple(
        (state.used, state.limit, state.name)
        for state in session.budget_states()
        if state.target in ("", origin.notebook, KERNEL)
        and state.user in ("", origin.user)
        and (not state.tag or state.tag in tags)
    )
