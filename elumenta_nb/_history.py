"""What the account's history lists of a model, read page by page until nothing can be missing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from ._alike import SLACK_S, WINDOW_S, Generations
from ._errors import NotFound
from ._values import History

if TYPE_CHECKING:
    from ._services import Services
    from ._values import Reply

__all__ = ["Listing"]

PAGES: Final = 100
RECENT_S: Final = 120.0


class _Reading:
    """Pages of the history as they come. `whole` once nothing that was made since `earliest` can be missing."""

    def __init__(self) -> None:
        self.found: dict[int | str, Reply] = {}  # by id: pages shift while generations are made, and tell some twice
        self.whole = False
        self._ids: set[int | str] = set()
        self._bare = 0  # rows without an id
        self._unclear = False  # one of them may be what is looked for
        self._first: int | None = None  # rows of the first page
        self._totals: list[int] = []
        self._last: float | None = None  # the time that was told last
        self._newest, self._oldest = -inf, inf
        self._falls = self._rises = False

    def take(self, history: History, earliest: float) -> bool:
        """Whether this page was the last to be asked for."""
        before = self._seen
        for item in history.items:
            made = item.created_at.timestamp() if item.created_at else None
            if item.id is None:
                self._unclear = self._unclear or made is None or made >= earliest
            else:
                if item.id not in self.found:
                    self._follow(made)
                self.found[item.id] = item
        self._unclear = self._unclear or history.unread > 0
        self._ids.update(history.ids)
        self._bare += history.received - len(history.ids)
        if history.total is not None and history.total >= history.received:  # else it contradicts itself
            self._totals.append(history.total)
        first, self._first = self._first, history.received if self._first is None else self._first
        back = self._last is not None and self._last < earliest - SLACK_S
        if self._falls and not self._rises and back:
            ended = complete = True
        elif self._totals:  # generations made meanwhile move others to the next page; deleted ones leave a gap
            ended = self._seen in (before, self._totals[-1]) or self._seen > self._totals[-1]
            complete = self._seen >= self._totals[0] and self._totals == sorted(self._totals)
        else:  # a first page may be short because the server gives fewer than were asked for
            complete = history.received == 0 or (first is not None and history.received < first)
            ended = complete or self._seen == before
        self.whole = ended and complete and not self._unclear
        return ended

    @property
    def _seen(self) -> int:
        return len(self._ids) + self._bare

    def _follow(self, made: float | None) -> None:
        """Whether the newest come first is not documented: the times tell, of all that were told so far."""
        if made is None:
            return
        self._falls = self._falls or made < self._newest - SLACK_S
        self._rises = self._rises or made > self._oldest + SLACK_S
        self._newest, self._oldest, self._last = max(self._newest, made), min(self._oldest, made), made


@dataclass(frozen=True, slots=True)
class Listing:
    """What the history told of a model. `whole`: all of it, back to the moment that was asked for."""

    made: Generations
    whole: bool

    @classmethod
    async def read(cls, services: Services, category: str, model: str, since: float) -> Listing:
        """`since` is Unix time on our clock. Raises what the server says.

        Where it is past, what was made in the quarter of an hour before it is read too, for the history's clock may be
        behind; a call of this moment, maybe one of thousands, is looked for among the newest.
        """
        reading = _Reading()
        margin_s = WINDOW_S if time.time() - since > RECENT_S else SLACK_S
        for page in range(1, PAGES + 1):
            try:
                history = await services.client.history(page=page, limit=100, category=category, model=model)
            except NotFound:
                if page == 1:
                    raise
                history = History(page=page)  # a page after the last
            if reading.take(history, since + services.client.skew_s - margin_s):
                break
        return cls(Generations(reading.found.values()), reading.whole)

    def item(self, generation_id: int | str) -> Reply | None:
        return self.made.named(generation_id)
