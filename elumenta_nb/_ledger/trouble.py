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
    name = getattr(error, "sqlite_errorname", "") or getattr(error, "sqlstate", "") or ""
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
            ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH", "25006"),
            _("The ledger {where} cannot be written.").format(where=where),
            elsewhere,
        ),
        (
            ("SQLITE_FULL", "53100"),
            _("There is no room left on the disk of the ledger {where}.").format(where=where),
            _("Free some space.") + "\n" + elsewhere,
        ),
        (
            ("SQLITE_IOERR",),
            _("The disk of the ledger {where} does not take what is written to it.").format(where=where),
            _("Is it full, over a quota, or a network drive that is gone?") + "\n" + elsewhere,
        ),
        (
            ("SQLITE_BUSY", "SQLITE_LOCKED", "55P03"),
            _("Another program has held the ledger {where} for {time}.").format(where=where, time=span(busy_s)),
            _("Close the program that has it open (a database browser, a backup), then run the cell again."),
        ),
        (
            ("42501",),
            _("The user of the ledger {where} may not make or change its tables.").format(where=where),
            _("Whoever administers the server allows it: {line}").format(line="GRANT ALL ON SCHEMA public TO …"),
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
    if type(error).__module__.partition(".")[0] == "psycopg" and not name:  # no code: nobody answered, or let us in
        why = why.rpartition("failed: ")[2].removeprefix("FATAL:").strip()
        return LedgerError(
            _("The server of the ledger {where} cannot be used: {why}.").format(where=where, why=why.rstrip(".")),
            hint=_("Look at ELUMENTA_LEDGER_URL and at the server, or unset it: the ledger is then on this machine."),
            spent=spent,
        )
    return LedgerError(
        _("The ledger {where} cannot be used: {why}.").format(where=where, why=why.rstrip(".")),
        hint=_("%elumenta doctor says more."),
        spent=spent,
    )
