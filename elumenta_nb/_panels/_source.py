"""PURE. What a panel says as a cell: a `%%elumenta` line that parses back to the same, and the prompt under it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["cell_source"]


def cell_source(
    category: str,
    model: str,
    values: Mapping[str, Any],
    prompt: str,
    *,
    count: int = 1,
    out: str = "",
    max_price: int | None = None,
) -> str:
    """The source of the cell; `values` are by option name, with inputs as they were typed."""
    words = ["%%elumenta", category, model]
    for name, value in values.items():
        words += _option(name, value)
    if count > 1:
        words += ["--count", str(count)]
    if max_price is not None:
        words += ["--max-price", str(max_price)]
    if out:
        words += ["-o", out]
    if any("{{" in str(text) for text in (prompt, *values.values())):
        words.append("--raw")
    return " ".join(words) + "\n" + prompt.strip("\n")


def _option(name: str, value: Any) -> list[str]:
    if value is True:
        return [f"--{name}"]
    text = "false" if value is False else str(value)
    quoted = shlex.quote(text)
    return [f"--{name}={quoted}"] if text.startswith("-") else [f"--{name}", quoted]
