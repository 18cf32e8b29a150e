"""What a call will cost, asked of the server; who consented to it; and what is left of the balance.

The table's price is only a fallback and never shown as the server's: a quote that is not exact says "about".
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from typing import TYPE_CHECKING, Final

from ._errors import ConfirmPrice, ElumentaError, NotFound, PriceAboveMax, ServerError
from ._language import gettext as _, number, tokens as _tokens
from ._values import Quote

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._catalog import Model, Resolved
    from ._client import Client
    from ._ledger import Ledger
    from ._values import Balance, Surface

__all__ = ["Prices", "Purse", "allowed", "consent", "price_key", "unpriced"]

REFRESH_S: Final = 60  # the balance is asked for at most this often, and never on a call's path


class Prices:
    """Quotes, asked once per model and price-moving parameters and kernel."""

    def __init__(self, client: Client, ledger: Ledger, api: str) -> None:
        self._client = client
        self._ledger = ledger
        self._api = api
        self._quotes: dict[tuple[str, str], Quote] = {}
        self._dearest: dict[tuple[str, str], int] = {}  # as the ledger told
        self._learned: dict[tuple[str, str], int] = {}  # since; kept apart: the ledger may know of a dearer one

    async def quote(self, resolved: Resolved) -> Quote:
        """The price of one generation. Raises what the server says about the parameters, the key or the plan."""
        key = (resolved.model.slug, price_key(resolved))
        if found := self._quotes.get(key):
            return found
        try:
            quote = await self._client.quote(resolved.model.slug, resolved.priced)
        except (NotFound, ServerError):
            quote = await self._about(resolved.model)
        if quote.exact:
            self._quotes[key] = quote
        return quote

    def peek(self, resolved: Resolved) -> Quote | None:
        """The cached quote, or ``None``."""
        return self._quotes.get((resolved.model.slug, price_key(resolved)))

    def held(self, resolved: Resolved, quote: Quote) -> int:
        """What to set aside: the quote, or the highest charge the ledger has seen for it."""
        key = (resolved.model.slug, price_key(resolved))
        if key not in self._dearest:
            self._dearest[key] = self._ledger.paid_most(self._api, *key) or 0
        return max(quote.tokens, self._dearest[key], self._learned.get(key, 0))

    def learn(self, resolved: Resolved, charged: int) -> None:
        """The server charged another price than it quoted: the next quote is at least that."""
        key = (resolved.model.slug, price_key(resolved))
        self._learned[key] = max(charged, self._learned.get(key, 0))

    async def _about(self, model: Model) -> Quote:
        """Where calculate-price does not answer: the upper end of what the server or the table says."""
        try:
            told = await self._client.model(model.slug)
        except ElumentaError:
            told = model
        if not told.maximum:
            told = model
        return Quote(
            tokens=told.maximum,
            minimum=told.minimum,
            maximum=told.maximum,
            pricing_type="fixed" if told.minimum == told.maximum else "matrix",
            exact=False,
        )


def price_key(resolved: Resolved) -> str:
    """A short name for the parameters that may move the price."""
    if not resolved.priced:
        return ""
    text = json.dumps(resolved.priced, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def consent(total: int, *, max_price: int | None, confirm_above: int, what: str, surface: Surface) -> None:
    """Check a price in Elumenta tokens against what the person allowed.

    Raises `PriceAboveMax` or `ConfirmPrice`; then nothing was sent.
    """
    option = f"max_price={total}" if surface in ("python", "batch") else f"--max-price {total}"
    if max_price is not None:
        if total > max_price:
            raise PriceAboveMax(
                _("{what} costs {price}, and the limit is {limit}. Nothing was sent.").format(
                    what=what, price=_tokens(total), limit=number(max_price)
                ),
                hint=_("To allow it: {option}").format(option=option),
            )
        return
    if confirm_above and total > confirm_above:
        raise ConfirmPrice(
            _("{what} costs {price}. Nothing was sent: above {limit} you are asked first.").format(
                what=what, price=_tokens(total), limit=number(confirm_above)
            ),
            hint=_("To say yes, add {option}").format(option=option),
        )


def unpriced(what: str) -> ConfirmPrice:
    """The refusal of a call whose price nobody tells."""
    return ConfirmPrice(
        _("{what}: the price is not known, the server does not tell it. Nothing was sent.").format(what=what),
        hint=_("Try again later."),
    )


def allowed(max_price: int | None, *, what: str, surface: Surface) -> int:
    """What to hold where nobody tells a price: what the person allows. Raises `ConfirmPrice` where that is nothing."""
    if max_price:
        return max_price
    error = unpriced(what)
    option = "max_price=N" if surface in ("python", "batch") else "--max-price N"
    error.hint += "\n" + _("To spend up to N tokens on it all the same, add {option}").format(option=option)
    raise error


class Purse:
    """The balance as last told, less what was settled since; refreshed behind the calls."""

    def __init__(self, fetch: Callable[[], Awaitable[Balance]], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._asked_at: float | None = None
        self._settled_at: float | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self.last: Balance | None = None
        self.tokens: int | None = None
        self.exact = False

    def told(self, balance: Balance) -> None:
        self.last = balance
        self.tokens = balance.tokens
        self.exact = True
        self._asked_at = self._clock()

    def settled(self, tokens: int, left: int | None, began: float) -> None:
        """A call that began then (monotonic seconds) was charged `tokens`; `left` is the balance its reply told, if it did.

        Replies of calls that ran side by side come in any order: of what they tell, the least was told last.
        """
        was_alone = self._settled_at is None or self._settled_at < began
        self._settled_at = self._clock()
        if left is not None:
            self.tokens = left if was_alone or self.tokens is None else min(left, self.tokens)
            self.exact = True
        elif self.tokens is not None and tokens:
            self.tokens = max(0, self.tokens - tokens)
            self.exact = False

    def doubt(self) -> None:
        """Something moved the balance, and nobody knows whether the figure here has it: it is asked for anew."""
        self.exact, self._asked_at = False, None

    def refresh_behind(self) -> None:
        """Ask for the balance in the background, at most once a minute. On the loop's thread."""
        now = self._clock()
        if self._asked_at is not None and now - self._asked_at < REFRESH_S:
            return
        self._asked_at = now
        self._refreshing = asyncio.ensure_future(self._refresh())

    async def _refresh(self) -> None:
        try:
            balance = await self._fetch()
        except ElumentaError:
            return  # the call itself will say what is wrong
        self.told(balance)
