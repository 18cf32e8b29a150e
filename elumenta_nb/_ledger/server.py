"""A ledger on a server: how it is connected to, and what becomes of a transaction that broke off.

A transaction that was refused for the sake of another one, or whose connection was lost, is run again: it left nothing
behind. A connection lost during COMMIT leaves open whether it did. So each writer has a row in `writers`, which every
transaction of it counts on: whoever locks that row afterwards waits for the end of the lost transaction, and the count
says whether it was kept. (The server's own transaction numbers do not tell: after a crash they are given out again.)
"""

from __future__ import annotations

import random
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from .trouble import of_driver

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

__all__ = ["Mark", "NotKept", "Patience", "cause", "connecting", "is_closed", "settings"]

_OPTIONS: Final[dict[str, Any]] = {
    "application_name": "elumenta-nb",
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_REFUSED: Final = frozenset(
    [
        "23505",  # a key that another transaction took in the same moment: it is found taken the next time
        "40001",  # serialization failure
        "40P01",  # deadlock
    ]
)
_AWAY: Final = "08000"  # no answer, so no code either
_LOST: Final = ("08", "57P", "25P03")  # the connection is gone, the server ends or starts, we were idle too long
_TRIES: Final = 8  # of what was refused; a server that is away is waited for
_OLD_S: Final = 90 * 86_400
_UNTOLD: Final = -1  # the turn of a row that was made anew


def connecting(url: URL) -> dict[str, Any]:
    """Options of the driver, where the address does not give them."""
    return {name: value for name, value in _OPTIONS.items() if name not in url.query}


def settings(connection: Any, busy_s: float) -> None:
    """What every connection keeps to: nobody is waited for without an end, and a commit is on disk."""
    milliseconds = max(int(busy_s * 1000), 1)
    connection.execute(
        f"SET lock_timeout = {milliseconds}; SET idle_in_transaction_session_timeout = {max(milliseconds // 2, 1000)};"
        " SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )


def cause(error: BaseException) -> BaseException:
    """The driver's error inside SQLAlchemy's."""
    return getattr(error, "orig", None) or error


def is_closed(connection: Any) -> bool:
    return bool(connection is None or connection.closed)


class NotKept(Exception):  # noqa: N818 - it is what happened
    """A transaction's connection was lost during COMMIT, and it was not committed."""


def _is_of_connection(error: BaseException) -> bool:
    names = {base.__name__ for base in type(error).__mro__}
    return isinstance(error, NotKept) or not names.isdisjoint({"OperationalError", "InterfaceError"})


class Patience:
    """How often, and how long, a transaction that broke off is run again."""

    def __init__(self, busy_s: float) -> None:
        self._until = time.monotonic() + busy_s
        self._tries = 0

    def again(self, error: BaseException) -> bool:
        """True after a pause, when running it again may help."""
        found = cause(error)
        if not (isinstance(found, NotKept) or of_driver(found)) or time.monotonic() > self._until:
            return False
        self._tries += 1
        state = getattr(found, "sqlstate", None) or (_AWAY if _is_of_connection(found) else "")
        if not state.startswith(_LOST) and not (state in _REFUSED and self._tries < _TRIES):
            return False
        time.sleep(random.uniform(0.5, 1) * min(0.005 * 2**self._tries, 1.0))  # noqa: S311 - jitter
        return True


class Mark:
    """A writer's row in `writers`."""

    def __init__(self) -> None:
        self._name = uuid.uuid4().hex
        self._turn = 0

    def make(self, cursor: Any) -> None:
        """The row, at each connecting; rows of writers long gone are removed.

        One that is missing later on (the server was set back to an earlier state) says nothing of the last transaction.
        """
        now = time.time_ns() // 1000
        cursor.execute("DELETE FROM writers WHERE at_us < %s", (now - int(_OLD_S * 1e6),))
        cursor.execute(
            "INSERT INTO writers (name, turn, at_us) VALUES (%s, %s, %s) ON CONFLICT (name) DO NOTHING",
            (self._name, _UNTOLD if self._turn else 0, now),
        )

    def next(self) -> str:
        """The statement of one more transaction; it has no values, so that it goes with the one that begins it."""
        self._turn += 1
        now = time.time_ns() // 1000
        return f"UPDATE writers SET turn = {self._turn}, at_us = {now} WHERE name = '{self._name}'"  # noqa: S608 - its own

    def kept(self, cursor: Any) -> bool | None:
        """Whether the last transaction was committed, once it has ended; ``None`` when the row was gone."""
        cursor.execute("SELECT turn FROM writers WHERE name = %s FOR UPDATE", (self._name,))
        row = cursor.fetchone()
        return None if row is None or row[0] == _UNTOLD else bool(row[0] == self._turn)
