"""What the engine's parts work with, wired by the session."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._client import Client
    from ._ledger import Ledger, Writer
    from ._prices import Prices, Purse
    from ._store import Store
    from ._texts import Texts

__all__ = ["Services"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a generation needs, wired by the session. `api` is ``"sandbox"`` or the API's origin."""

    client: Client
    ledger: Ledger
    writer: Writer
    store: Store
    prices: Prices
    purse: Purse
    api: str
    account: Callable[[], Awaitable[str]]
    job_timeout_s: float
    grace_s: float | None = None  # after this a call that no history shows was not made; None: `_recovery.GRACE_S`
    texts: Texts | None = None  # of a map: its texts go to one file, and who runs it answers to the account's limits
    storing: dict[int, asyncio.Lock] = field(default_factory=dict)  # by call
    stored: set[int] = field(default_factory=set)
    background: set[asyncio.Task[None]] = field(default_factory=set)  # what goes on after its cell was stopped
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
