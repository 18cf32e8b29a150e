"""How a text answer is asked for (`--as`), and the turns of a chat (`--chat`). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ._values import Message

if TYPE_CHECKING:
    from ._catalog import Resolved

__all__ = ["SHAPES", "Chat", "asked_for"]

SHAPES: Final = ("markdown", "text", "json", "code")
_ORDERS: Final = {  # what the model is told, in its own language, whatever the person reads
    "json": "Answer with one valid JSON document and nothing else: no explanation, no code fence.",
    "code": "Answer with one block of runnable code and nothing else.",
}


def asked_for(params: dict[str, Any], resolved: Resolved, shape: str | None) -> dict[str, Any]:
    """The parameters with the order for that shape in the system prompt."""
    order = _ORDERS.get(shape or "")
    if order is None or resolved.returns != "text" or resolved.category.param("system_prompt") is None:
        return params
    given = params.get("system_prompt")
    return {**params, "system_prompt": f"{given}\n\n{order}" if given else order}


@dataclass(slots=True)
class Turn:
    """A prompt and its answer; `key` is the cell they came from, so that a cell run again replaces its own turns.

    `run` is that cell's run: within one run each line goes on where the last one ended.
    """

    key: str
    prompt: str
    answer: str
    run: str = ""


@dataclass(slots=True)
class Chat:
    """A conversation, kept in the kernel: the API stores no turns (en/api-reference/generations/text)."""

    name: str
    kept: list[Turn] = field(default_factory=list)

    @property
    def turns(self) -> list[Message]:
        return _messages(self.kept)

    def before(self, key: str, run: str = "") -> tuple[Message, ...]:
        """The turns ahead of the one that this call replaces, or all of them."""
        return tuple(_messages(self.kept[: self._place(key, run)]))

    def add(self, key: str, prompt: str, answer: str, run: str = "") -> None:
        """In the place of the turn that an earlier run of the cell made, else at the end."""
        place = self._place(key, run)
        self.kept[place : place + 1] = [Turn(key, prompt, answer, run)]

    def _place(self, key: str, run: str) -> int:
        """Of the first turn that an earlier run of this cell made, or behind the last."""
        earlier = (at for at, turn in enumerate(self.kept) if key and turn.key == key and not (run and turn.run == run))
        return next(earlier, len(self.kept))

    def reset(self) -> None:
        self.kept.clear()


def _messages(turns: list[Turn]) -> list[Message]:
    return [message for turn in turns for message in (Message("user", turn.prompt), Message("assistant", turn.answer))]
