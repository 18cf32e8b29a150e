"""Every error this package raises on purpose.

ElumentaError
├── ConfigError                 settings that cannot work
│   └── NoKey                   nowhere to send calls: no key, no sandbox, no store
├── InvalidCall                 found before anything was sent
│   ├── UnknownModel
│   └── BadParam
├── BudgetExceeded              a budget would be overrun
├── PriceAboveMax               dearer than --max-price
├── ConfirmPrice                dear, and nobody consented yet
├── InsufficientTokens          402
├── PlanRequired                403
├── AuthFailed                  401
├── NotFound                    404
├── Rejected                    400, 422
├── RateLimited                 429
├── ServerError                 5xx
├── TransportError              no connection, or it was lost
├── OutcomeUnknown              sent, no answer, not found in the history yet
├── BadReply                    an answer that cannot be read
├── DownloadFailed              paid, the file was not fetched
├── GenerationFailed            the server says status: failed
├── JobTimedOut                 accepted, not finished in time; it goes on
├── NotStored                   reuse=only and no stored take
└── LedgerError                 the ledger cannot be read or written

A failed cell is red and short: `_render_traceback_` prints what happened, what was spent and what to do.
"""

from __future__ import annotations

import re
import traceback
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ._language import gettext as _, tokens as _tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "AuthFailed",
    "BadParam",
    "BadReply",
    "BudgetExceeded",
    "ConfigError",
    "ConfirmPrice",
    "DownloadFailed",
    "ElumentaError",
    "GenerationFailed",
    "InsufficientTokens",
    "InvalidCall",
    "JobTimedOut",
    "LedgerError",
    "NoKey",
    "NotFound",
    "NotStored",
    "OutcomeUnknown",
    "PlanRequired",
    "PriceAboveMax",
    "RateLimited",
    "Rejected",
    "ServerError",
    "Spent",
    "TransportError",
    "UnknownModel",
    "redact",
]

Spent = Literal["no", "maybe", "yes"]

_KEY = re.compile(r"nb_[A-Za-z0-9_]{8,}")
_CELL_FILE = re.compile(r"ipykernel_\d+|<ipython-input|<string>|<stdin>")
_LONG = 600


def redact(text: str) -> str:
    """The text with anything that looks like an API key masked to its last four characters."""
    return _KEY.sub(lambda found: f"nb_…{found[0][-4:]}", text)


class ElumentaError(Exception):
    """The base of all of them.

    `hint` is what to do; `spent` is ``"no"``, ``"maybe"`` or ``"yes"``; `tokens` is how many Elumenta tokens were
    or may be charged (``None`` when not known); `call_id` is the ledger's row where there is one; `status`, `code`
    and `details` repeat what the server said. `partial` is the text of a stream that did not reach its end, and
    `generation_id` the server's id where one was told. No text of an error ever holds an API key. `results` are what was done
    before it, where a cell makes several.
    """

    spent: Spent
    partial: str = ""
    generation_id: int | str | None = None
    _spent_by_default: ClassVar[Spent] = "no"

    def __init__(
        self,
        message: str = "",
        *,
        hint: str = "",
        spent: Spent | None = None,
        tokens: int | None = None,
        call_id: int | None = None,
        status: int | None = None,
        code: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(redact(message))
        self.hint = redact(hint)
        self.spent = spent or self._spent_by_default
        self.tokens = tokens
        self.call_id = call_id
        self.status = status
        self.code = code
        self.details = dict(details or {})
        self.results: Sequence[Any] = ()

    @property
    def message(self) -> str:
        """What happened, in a sentence."""
        return str(self)

    def money(self) -> str:
        """One sentence on what this cost."""
        if self.spent == "no":
            return _("Nothing was charged.")
        if self.spent == "yes":
            if self.tokens is None:
                return _("It was charged.")
            return _("{tokens} charged.").format(tokens=_tokens(self.tokens))
        if self.tokens:
            return _("It may be charged: up to {tokens}.").format(tokens=_tokens(self.tokens))
        return _("It may be charged.")

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows instead of a traceback; must not fail itself (IPython would then show both)."""
        try:
            text = str(self)
            lines = [f"\x1b[31m{type(self).__name__}\x1b[0m: {text[:_LONG]}{'…' if len(text) > _LONG else ''}"]
            if line := _cell_line(self):
                lines.append(_("in cell line {n}").format(n=line))
            lines.append(self.money())
            lines += [f"→ {line}" for line in self.hint.splitlines()[:4]]
        except Exception:  # noqa: BLE001 - a failing renderer would hide the error it renders
            return [f"{type(self).__name__}: {self.args[0] if self.args else ''}"]
        return lines


def _cell_line(error: BaseException) -> int | None:
    """The line of the user's cell that led here; line 1 of a cell magic says nothing and is left out."""
    found: int | None = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if _CELL_FILE.search(frame.f_code.co_filename):
            found = line
    return found if found and found > 1 else None


class ConfigError(ElumentaError):
    """Settings that cannot work; `hint` names the one to change."""


class NoKey(ConfigError):
    """There is nowhere to send the call: no key, no sandbox, no store."""


class InvalidCall(ElumentaError):
    """The call is wrong, found before anything was sent."""


class UnknownModel(InvalidCall):
    """No such model in the catalogue or at the server."""


class BadParam(InvalidCall):
    """A parameter that the model does not have, or a value it does not take."""


class BudgetExceeded(ElumentaError):
    """A budget would be overrun; `budget`, `limit`, `used`, `held` and `asked` are Elumenta tokens and a name."""

    def __init__(
        self,
        message: str = "",
        *,
        budget: str = "",
        limit: int = 0,
        used: int = 0,
        held: int = 0,
        asked: int = 0,
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.budget = budget
        self.limit = limit
        self.used = used
        self.held = held
        self.asked = asked


class PriceAboveMax(ElumentaError):
    """The price is above the cell's own limit (`--max-price`)."""


class ConfirmPrice(ElumentaError):
    """The price is above `confirm_above` and the cell does not say that it may be."""


class InsufficientTokens(ElumentaError):
    """402: the account does not have the tokens."""


class PlanRequired(ElumentaError):
    """403: the account's plan does not include this model, or API access."""


class AuthFailed(ElumentaError):
    """401: the key is missing, wrong or revoked."""


class NotFound(ElumentaError):
    """404: no such generation or model at the server."""


class Rejected(ElumentaError):
    """400 or 422: the server did not accept the request."""


class RateLimited(ElumentaError):
    """429: the hourly or daily limit of the account is reached; `retry_after` is in seconds."""

    def __init__(self, message: str = "", *, retry_after: float | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.retry_after = retry_after


class ServerError(ElumentaError):
    """5xx: with the documented body nothing was charged, without it the outcome is open."""


class TransportError(ElumentaError):
    """The server was not reached, or the connection was lost; `spent` says whether the request may have arrived."""


class OutcomeUnknown(ElumentaError):
    """A request was sent, no answer came, and the history does not show it yet."""

    _spent_by_default = "maybe"


class BadReply(ElumentaError):
    """The server answered something that cannot be read as the documented reply."""

    _spent_by_default = "maybe"


class DownloadFailed(ElumentaError):
    """Paid, but the file was not fetched; `%elumenta show ID` fetches it again at no cost."""

    _spent_by_default = "yes"


class GenerationFailed(ElumentaError):
    """The server reports ``status: failed``; it is not charged."""


class JobTimedOut(ElumentaError):
    """An accepted job did not finish in the time allowed; it goes on and will be charged when it completes."""

    _spent_by_default = "maybe"


class NotStored(ElumentaError):
    """``reuse=only`` and there is no stored take of this call."""


class LedgerError(ElumentaError):
    """The ledger cannot be opened, read or written; without it nothing is sent."""
