"""One receipt for a cell of several calls, and our own short lines as mimebundles. PURE."""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from ._language import gettext as _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._values import Receipt

__all__ = ["said", "together"]

_MUTED = "opacity:.72;font-size:90%"


def together(receipts: Sequence[Receipt], *, note: str = "") -> Receipt:
    """The calls of one cell as one receipt; `note` is put before what they note themselves."""
    last = receipts[-1]
    calls = Counter(receipt.model for receipt in receipts)
    notes = [note, *(receipt.note for receipt in receipts)]
    restored = sum(receipt.reused for receipt in receipts)
    if 0 < restored < len(receipts):
        notes.append(_("{n} of them restored").format(n=restored))
    paid = [receipt.paid_before for receipt in receipts if receipt.paid_before is not None]
    return replace(
        last,
        model=" + ".join(f"{model} × {n}" if n > 1 else model for model, n in calls.items()),
        tokens=sum(receipt.tokens for receipt in receipts),
        quoted=sum(receipt.quoted for receipt in receipts if not receipt.reused),
        latency_s=max(receipt.latency_s for receipt in receipts),
        reused=restored == len(receipts),
        paid_before=sum(paid) if paid else None,
        note=" · ".join(dict.fromkeys(text for text in notes if text)),
    )


def said(text: str) -> dict[str, str]:
    """A line of ours as a mimebundle."""
    return {"text/plain": text, "text/html": f'<div style="{_MUTED}">{html.escape(text)}</div>'}
