"""What a person reads of a map: its plan before, its line while it runs. PURE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elumenta_nb._language import gettext as _, ngettext, number, span, tokens
from elumenta_nb._render import card

if TYPE_CHECKING:
    from ._plan import Plan
    from ._sheet import Tally

__all__ = ["end_line", "plan_html", "plan_lines", "plan_sentence", "progress_line"]


def _price(plan: Plan) -> str:
    if plan.low < plan.price:
        return _("{low} to {price}").format(low=number(plan.low), price=tokens(plan.price))
    return tokens(plan.price) if plan.exact else _("about {price}").format(price=tokens(plan.price))


def plan_sentence(plan: Plan) -> str:
    """``gpt-5-nano over 2,000 rows: 1,871 calls to buy, 1,871 tokens, about 3 min 7 s``."""
    mark = "SANDBOX · " if plan.sandbox else ""
    over = _("{model} over {rows}").format(model=plan.model, rows=ngettext("{n} row", "{n} rows", plan.rows))
    if not plan.to_buy:
        return f"{mark}{over}: " + _("nothing to buy")
    calls = ngettext("{n} call to buy", "{n} calls to buy", plan.to_buy)
    about = _("about {time}").format(time=span(plan.seconds))
    return f"{mark}{over}: {calls}, {_price(plan)}, {about}"


def plan_facts(plan: Plan) -> list[tuple[str, str]]:
    """The plan by name and value; what is nothing is left out."""
    n = number
    left_out = "; ".join(plan.refusals) + ("; …" if plan.refused > len(plan.refusals) else "")
    rows = [
        (plan.rows - plan.refused - plan.calls, _("unique calls"), _("{n} (equal rows are bought once)"), plan.calls),
        (plan.stored, _("stored already"), _("{n}, 0 tokens"), plan.stored),
        (plan.paid, _("paid before, to be fetched"), _("{n}, 0 tokens"), plan.paid),
        (plan.open, _("under way since an earlier run"), _("{n}, waited for and not bought"), plan.open),
        (plan.missing, _("not stored"), _("{n}, and nothing is bought here"), plan.missing),
    ]
    facts = [(_("rows left out"), f"{n(plan.refused)}: {left_out}")] if plan.refused else []
    facts += [(name, words.format(n=n(figure))) for told, name, words, figure in rows if told]
    facts.append((_("to buy"), ngettext("{n} call", "{n} calls", plan.to_buy)))
    if plan.to_buy:
        facts.append((_("price"), _price(plan)))
    if plan.budget is not None:
        facts.append((_("budget"), _budget(plan, plan.budget)))
    if plan.to_buy:
        facts.append((_("time"), _time(plan)))
    return facts


def _budget(plan: Plan, limit: int) -> str:
    words = _("{limit}, {used} used by this map").format(limit=tokens(limit), used=number(plan.budget_used))
    if plan.affordable == plan.to_buy:
        return words
    enough = _("enough for {n} of {all} calls").format(n=number(plan.affordable), all=number(plan.to_buy))
    return f"{words}: {enough}"


def _time(plan: Plan) -> str:
    words = _("about {time}").format(time=span(plan.seconds))
    if not plan.hour:
        return words
    return f"{words} ({_('the account has {n} requests an hour').format(n=number(plan.hour))})"


def plan_lines(plan: Plan) -> list[tuple[str, str]]:
    return [("", plan_sentence(plan)), *((f"  {name}", value) for name, value in plan_facts(plan))]


def plan_html(plan: Plan) -> str:
    data, _metadata = card(plan_sentence(plan), plan_facts(plan), hint=_("Nothing was sent."))
    html: str = data["text/html"]
    return html


def progress_line(tally: Tally, *, rate: float, left_s: float | None, waits_s: float, reason: str) -> str:
    """``map gpt-5-nano · 812 of 2,000 calls · 812 tokens · 74 a second · 16 s left``."""
    parts = [
        f"map {tally.model}",
        _("{done} of {all} calls").format(done=number(tally.done), all=number(tally.calls)),
    ]
    if waits_s > 0:  # first of all, for a narrow terminal shows no more
        why = reason or _("request limit reached")
        parts.append(_("goes on in {time}: {reason}").format(reason=why.rstrip("."), time=span(round(waits_s))))
        return " · ".join(parts)
    parts.append(tokens(tally.tokens))
    if tally.failed:
        parts.append(ngettext("{n} failed", "{n} failed", tally.failed))
    if rate >= 1:
        parts.append(_("{n} a second").format(n=number(round(rate))))
    elif rate > 0:
        parts.append(_("{n} a minute").format(n=number(round(rate * 60))))
    if left_s is not None:
        parts.append(_("{time} left").format(time=span(round(left_s))))
    return " · ".join(parts)


def end_line(tally: Tally, *, took_s: float, stopped: str) -> str:
    """What a map leaves behind: what it did and what it cost."""
    parts = [
        f"map {tally.model}",
        _("{done} of {all} rows").format(done=number(tally.rows_done), all=number(tally.rows)),
        tokens(tally.tokens),
        span(took_s),
    ]
    if tally.rows_failed:
        parts.append(ngettext("{n} failed", "{n} failed", tally.rows_failed))
    if tally.rows_not_bought:
        parts.append(ngettext("{n} not bought", "{n} not bought", tally.rows_not_bought))
    if tally.rows_open:
        parts.append(ngettext("{n} not known yet", "{n} not known yet", tally.rows_open))
    if stopped:
        parts.append(_("stopped: {why}").format(why=stopped))
    if tally.rows_done < tally.rows:
        parts.append(_("run it again for the rest: what is done is not bought again"))
    return " · ".join(parts)
