"""PURE. A model's Markdown made inert, whatever renders it."""

from __future__ import annotations

import html
import re

__all__ = ["plain", "safe_markdown"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")


def plain(text: str) -> str:
    """The text without control characters: a terminal acts on them."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def safe_markdown(text: str) -> str:
    return html.escape(plain(text), quote=False)
