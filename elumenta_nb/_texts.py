"""The file of texts that a map writes: appended in the background, a row at a time, synced now and then.

A row's charge is in the ledger before its text comes here, so a text that is lost with the machine is fetched again for
nothing; what is written survives the death of its kernel at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from anyio import to_thread

from ._disk import why
from ._draft import take_of
from ._errors import ConfigError
from ._language import gettext as _
from ._lines import PREFIX, TEXTS, as_line

if TYPE_CHECKING:
    from pathlib import Path

    from ._sidecar import Take
    from ._store import Store
    from ._values import Call, Reply

__all__ = ["Texts"]

LINGER_S: Final = 0.05  # lines that come within this are one write
SYNC_S: Final = 1.0


class Texts:
    """One file in the store's folder, made with its first line. On the background loop; `close` at the end.

    A text that comes later than that (an answer nobody waited for any more) is on the disk before `keep` returns.
    """

    def __init__(self, store: Store, label: str) -> None:
        word = re.sub(r"[^A-Za-z0-9]+", "-", label)[:40].strip("-")
        self._store = store
        self.name = PREFIX + "-".join(filter(None, [word, secrets.token_hex(5)])) + TEXTS
        self._folder: Path | None = None
        self._file: BinaryIO | None = None
        self._waiting: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._syncing: asyncio.Task[None] | None = None
        self._is_dirty = False
        self._is_made = False  # the name is ours
        self._is_closed = False
        self.trouble = ""  # why the disk does not take it

    def keep(
        self, call: Call, reply: Reply, *, api: str, fingerprint: str, tokens: int, call_id: int | None, **more: Any
    ) -> Take:
        """The take of a text, on its way to the file.

        Raises `OSError` where the disk refused earlier ones, and after `close` where it refuses this one.
        """
        if self.trouble:
            raise OSError(self.trouble)
        if self._folder is None:
            self._store.check()
            self._folder = self._store.folder
        take = take_of(
            call,
            reply,
            api=api,
            fingerprint=fingerprint,
            folder=self._folder,
            name=self.name,
            take_id=secrets.token_hex(5),
            tokens=tokens,
            call_id=call_id,
            **more,
        )
        self._waiting.append(as_line(take))
        if self._is_closed:
            self._write_late()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER_S, self._flush)
        return take

    def _flush(self) -> None:
        self._timer = None
        self._write()
        if self._is_dirty and self._syncing is None:
            self._syncing = asyncio.ensure_future(self._sync())

    def _write(self) -> None:
        lines, self._waiting = self._waiting, []
        if not lines or self._folder is None:
            return
        try:
            if self._file is None:
                self._file = (self._folder / self.name).open("ab" if self._is_made else "xb", buffering=0)
                self._is_made = True
            end = self._file.tell()
            try:
                _write_all(self._file, b"".join(lines))
            except OSError:
                with contextlib.suppress(OSError):  # half a line would spoil the next one
                    self._file.truncate(end)
                    self._file.seek(end)
                raise
            self._is_dirty = True
        except OSError as error:
            self.trouble = why(error)

    def _write_late(self) -> None:
        """Nobody comes to close it again. Raises `OSError`."""
        self._write()
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                os.fsync(file.fileno())
            file.close()
        if self.trouble:
            raise OSError(self.trouble)

    async def _sync(self) -> None:
        try:
            while self._is_dirty and self._file is not None:
                self._is_dirty = False
                file = self._file
                with contextlib.suppress(OSError, ValueError):
                    await to_thread.run_sync(os.fsync, file.fileno())
                await asyncio.sleep(SYNC_S)
        finally:
            self._syncing = None

    async def close(self) -> None:
        """Everything on the disk. Raises `ConfigError` where the disk did not take it."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._write()
        if self._syncing is not None:
            self._syncing.cancel()
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                await to_thread.run_sync(os.fsync, file.fileno())
            file.close()
        if self.trouble:
            raise ConfigError(
                _("The texts of the map could not be stored in {folder}: {why}.").format(
                    folder=self._folder, why=self.trouble
                ),
                hint=_("They are paid and not lost: with room on the disk, the same map fetches them for nothing."),
                spent="yes",
            )


def _write_all(file: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
