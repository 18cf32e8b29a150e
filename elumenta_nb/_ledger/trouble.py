"""Errors of drivers in words that a person can use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elumenta_nb._errors import LedgerError
from elumenta_nb._language import gettext as _, span

if TYPE_CHECKING:
    from elumenta_nb._errors import Spent

__all__ = ["of_driver", "trouble"]


def of_driver(error: BaseException) -> bool:
    """An error of a database driver: DBAPI drivers share no base class, only names."""
    return any(base.__name__ == "Error" and base.__module__ in {"sqlite3", "psycopg"} for base in type(error).__mro__)


def trouble(error: BaseException, *, where: str, busy_s: float, secret: str, spent: Spent) -> LedgerError:
    """What a driver's or the system's error means for the person, and what to do about it."""
    name = getattr(error, "sqlite_errorname", "") or ""
    elsewhere = _("Set ELUMENTA_HOME to a folder that can be written, or ELUMENTA_LEDGER_URL to another database.")
    for prefixes, message, hint in (
        (
            ("SQLITE_CORRUPT", "SQLITE_NOTADB"),
            _("The ledger {where} is damaged or is not a ledger.").format(where=where),
            _("It was left as it is. Move it aside: {line}").format(line=f"mv {where} {where}.damaged")
            + "\n"
            + _("A new ledger is made then, and %elumenta recover lists what the account has spent."),
        ),
        (
            ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH"),
            _("The ledger {where} cannot be written.").format(where=where),
            elsewhere,
        ),
        (
            ("SQLITE_FULL",),
            _("There is no room left on the disk of the ledger {where}.").format(where=where),
            _("Free some space.") + "\n" + elsewhere,
        ),
        (
            ("SQLITE_BUSY", "SQLITE_LOCKED"),
            _("Another program has held the ledger {where} for {time}.").format(where=where, time=span(busy_s)),
            _("Close the program that has it open (a database browser, a backup), then run the cell again."),
        ),
    ):
        if name.startswith(prefixes):
            return LedgerError(message, hint=hint, spent=spent)
    if isinstance(error, OSError):
        message = _("The ledger {where} cannot be written: {why}.").format(where=where, why=error.strerror or error)
        return LedgerError(message, hint=elsewhere, spent=spent)
    why = str(error).strip().partition("\n")[0]
    if secret:
        why = why.replace(secret, "***")
    return LedgerError(
        _("The ledger {where} cannot be used: {why}.").format(where=where, why=why.rstrip(".")),
        hint=_("%elumenta doctor says more."),
        spent=spent,
    )
