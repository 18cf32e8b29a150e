"""The files behind `result_url`: made off the event loop when first asked for, kept in memory for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .economy import Economy
    from .rows import Generation

__all__ = ["Files"]

_KEPT_BYTES: Final = 96 * 1024 * 1024
_AHEAD_S: Final = 4.0


class Files:
    """Makes and keeps files. Used from one event loop; the work is done on its own thread."""

    def __init__(self, economy: Economy) -> None:
        self._economy = economy
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="elumenta-sandbox-maker")
        self._kept: OrderedDict[tuple[int, bool], bytes] = OrderedDict()
        self._making: dict[tuple[int, bool], asyncio.Future[bytes]] = {}

    def begin(self, row: Generation, wait_s: float) -> None:
        """Have the file made by the time the caller has waited; one nobody waits for is made when asked for."""
        if row.media is not None and wait_s > 0:
            later = max(wait_s - _AHEAD_S, 0)
            asyncio.get_running_loop().call_later(later, self._ahead, row)

    def _ahead(self, row: Generation) -> None:
        with suppress(RuntimeError):  # the process is ending: no thread starts, and nobody will ask
            self._future(row, thumbnail=False)

    async def get(self, row: Generation, *, thumbnail: bool = False) -> bytes:
        """The file of a generation, or its thumbnail."""
        key = (row.id, thumbnail)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        return await asyncio.shield(self._future(row, thumbnail=thumbnail))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _future(self, row: Generation, *, thumbnail: bool) -> asyncio.Future[bytes]:
        key = (row.id, thumbnail)
        if key not in self._making:
            work = self._thumbnail if thumbnail else self._make
            future = asyncio.get_running_loop().run_in_executor(self._threads, work, row)
            self._making[key] = future
            future.add_done_callback(lambda done: self._keep(key, done))
        return self._making[key]

    def _keep(self, key: tuple[int, bool], done: asyncio.Future[bytes]) -> None:
        del self._making[key]
        if done.cancelled() or done.exception() is not None:
            return
        self._kept[key] = done.result()
        while sum(map(len, self._kept.values())) > _KEPT_BYTES and len(self._kept) > 1:
            self._kept.popitem(last=False)

    def _make(self, row: Generation) -> bytes:
        from .makers.media import make

        assert row.media is not None
        return make(row.model, row.prompt, row.params, row.media, self._earlier)

    def _thumbnail(self, row: Generation) -> bytes:
        from .makers.media import thumbnail

        assert row.media is not None
        return thumbnail(row.model, row.prompt, row.media, self._earlier)

    def _earlier(self, generation: int) -> bytes:
        """The file of an earlier generation, as the input of a tool."""
        if kept := self._kept.get((generation, False)):
            return kept
        row = self._economy.stored(generation)
        if row is None:
            raise ValueError(f"generation {generation} has no file any more")
        return self._make(row)
