"""What an interrupted cell says instead of a traceback: what may still be charged, and how to get it. PURE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._language import gettext as _, ngettext, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._progress import Record
    from ._values import Ask

__all__ = ["explain", "left", "shorten"]


def explain(stop: KeyboardInterrupt, record: Record, ask: Ask) -> None:
    """Let an interrupt say what may still be charged and how to get it."""
    lines = left(record)
    if record.receipts and ask.count > 1:
        lines.append(ngettext("{n} is done: %elumenta spend", "{n} are done: %elumenta spend", len(record.receipts)))
    shorten(stop, lines)


def left(record: Record) -> list[str]:
    """What a call that nobody waits for any more may still cost, and how to get it."""
    paid = [event for event in record.stopped if event.status == "completed"]
    over = sorted(event.call_id for event in paid if event.call_id is not None)
    on = [event for event in record.stopped if event.status not in {"cancelled", "completed"}]
    at_risk = sum(event.at_risk for event in on)
    calls = [event.call_id for event in on if event.call_id is not None]
    if not record.stopped and record.sent:  # interrupted again before the last word
        calls = list(record.call_ids.values())
        at_risk = record.price or 0
    lines = []
    if over:  # paid, and its file was on the way
        lines.append(
            _("It was complete already: {line}").format(line=", ".join(f"%elumenta show {call}" for call in over))
        )
    if calls or at_risk:
        one = f" {calls[0]}" if len(calls) == 1 else ""
        lines.append(_("Up to {tokens} may still be charged.").format(tokens=tokens(at_risk)))
        lines.append("→ " + _("To get it: {line}").format(line=f"%elumenta recover{one}"))
    return lines if lines or record.receipts else [_("Nothing was charged.")]


def shorten(stop: BaseException, lines: Sequence[str]) -> None:
    """Show a stop in a few lines: IPython asks the exception itself."""
    shown = [f"\x1b[31m{type(stop).__name__}\x1b[0m: {_('stopped waiting.')}", *lines]
    stop._render_traceback_ = lambda: shown  # type: ignore[attr-defined]  # an attribute of this one exception
