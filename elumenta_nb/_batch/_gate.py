"""How many calls may be under way, and since when none: the width adapts to what the account's limits allow.

Additive increase, multiplicative decrease: a refused call halves the width, a good one widens it a little. Where the
server says when the limit ends, everybody waits for that moment; where that is farther than an hour's limit or a day's
can be, one call asks again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from elumenta_nb._values import Limits

__all__ = ["Gate"]

BLIND_S: Final = 20.0  # to wait after a refusal that does not say how long; doubled while refusals go on
LONGEST_BLIND_S: Final = 600.0
SLACK_S: Final = 1.0  # clocks agree to about half a second
LONGEST_HOUR_S: Final = 3660.0
LONGEST_DAY_S: Final = 86400.0 + 60.0


class Gate:
    """Lets at most `width` calls under way. `limits` is what the server told last; `skew_s` its clock minus ours."""

    def __init__(
        self,
        width: int,
        *,
        limits: Callable[[], Limits],
        skew_s: Callable[[], float] = lambda: 0.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.most = width
        self.width = float(width)
        self.active = 0
        self.closed = False
        self.opens_at: float | None = None  # on `clock`; None: open
        self._limits = limits
        self._skew_s = skew_s
        self._clock = clock
        self._wall = wall
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._blind_s = BLIND_S
        self._halved_at = float("-inf")
        self._outwaited: Limits | None = None  # an hour was waited for these, and they may still be all that is known

    @property
    def waits_s(self) -> float:
        """How long nothing will be sent; 0 while calls go out."""
        return 0.0 if self.opens_at is None else max(0.0, self.opens_at - self._clock())

    def try_enter(self) -> bool:
        """Go in if there is room."""
        if self.closed or self.active >= int(self.width) or not self._is_open() or not self._has_requests():
            return False
        self.active += 1
        return True

    async def enter(self) -> bool:
        """Wait for room and go in; false when the gate was closed."""
        while not self.try_enter():
            if self.closed:
                return False
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.cancelled():
                    with contextlib.suppress(ValueError):  # taken out between the cancelling and here
                        self._waiting.remove(waiter)
                else:
                    self._wake(1)  # it was this one's turn
                raise
        return True

    def leave(self) -> None:
        self.active -= 1
        self._wake(1)

    def close(self) -> None:
        """Let nobody in any more; who is inside is not disturbed."""
        self.closed = True
        self._wake(len(self._waiting))

    def went_well(self) -> None:
        """A call was answered."""
        self._blind_s = BLIND_S
        if self.width < self.most:
            self.width = min(float(self.most), self.width + 1 / self.width)
            self._wake(1)

    def refused(self, retry_after: float | None) -> None:
        """The account's limit refused a call: fewer from now on, and none until `retry_after` seconds have passed."""
        now = self._clock()
        if now - self._halved_at > 1.0:  # the calls that were under way together are refused together
            self._halved_at = now
            self.width = max(1.0, self.width / 2)
            if retry_after is None:
                retry_after, self._blind_s = self._blind_s, min(2 * self._blind_s, LONGEST_BLIND_S)
        if retry_after is not None:
            self._wait_until(now + min(retry_after, LONGEST_DAY_S))

    def _is_open(self) -> bool:
        if self.opens_at is None:
            return True
        if self._clock() < self.opens_at:
            return False
        self.opens_at = None
        return True

    def _has_requests(self) -> bool:
        """Whether the last reply left any: none is sent that is known to be refused."""
        limits = self._limits()
        if not limits.hour or limits.hour_left is None:
            return True
        resets_s = None
        if limits.resets_at is not None:
            resets_s = limits.resets_at.timestamp() - self._skew_s() - self._wall()
            if resets_s + SLACK_S <= 0:
                return True  # what was told is of an hour that is over
        if limits.hour_left > self.active:  # those under way may not be counted yet
            return True
        if limits.hour_left == 0 and self.active == 0 and resets_s is not None and limits != self._outwaited:
            if resets_s > LONGEST_HOUR_S:
                self._outwaited = limits
            self._wait_until(self._clock() + min(resets_s + SLACK_S, LONGEST_HOUR_S))
            return False
        return self.active == 0  # without a time to wait for, one asks

    def _wait_until(self, moment: float) -> None:
        if self.opens_at is not None and self.opens_at >= moment:
            return
        self.opens_at = moment
        if self._timer is not None:
            self._timer.cancel()
        wait_s = max(0.0, moment - self._clock())
        self._timer = asyncio.get_running_loop().call_later(wait_s + 0.005, self._again)

    def _again(self) -> None:
        self._timer = None
        self._wake(len(self._waiting))

    def _wake(self, count: int) -> None:
        while count > 0 and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1
