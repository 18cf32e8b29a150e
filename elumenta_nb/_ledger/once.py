"""Keys that one row of an account holds at a time: `Intent.once`.

`calls.once` is a digest of the account and the key, and a unique index covers the rows that are open or paid: a row
that fails, is cancelled or is released gives its key up by its status alone. Two processes that reserve one key at the
same moment are told apart by that index: the second transaction is run again and finds the key taken.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from .words import dump

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .database import Tx
    from .entry import Intent
    from .row import Change

__all__ = ["holders_of", "keep_keys", "key_of"]


def key_of(intent: Intent) -> str | None:
    if not intent.once:
        return None
    told = dump([intent.api, intent.account, intent.once])
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def holders_of(tx: Tx, keys: Iterable[str | None]) -> dict[str | None, int]:
    """The rows that hold these keys."""
    wanted = sorted({key for key in keys if key is not None})
    if not wanted:
        return {}
    rows = tx.all(
        "SELECT once, id FROM calls WHERE once IS NOT NULL AND status < 4 AND once {in_texts}",
        texts=json.dumps(wanted),
    )
    return {row[0]: row[1] for row in rows}


def keep_keys(tx: Tx, changes: Sequence[Change]) -> None:
    """A row that turned out to be paid after all takes its key back, unless another row has it by now."""
    back = [change for change in changes if change.once is not None and change.reopened]
    holders = holders_of(tx, [change.once for change in back]) if back else {}
    for change in back:
        if holders.setdefault(change.once, change.id) != change.id:
            change.once = None
