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
    """A prompt and its answer; `key` is the cell they came from, so that a cell run again replaces its own turn."""

    key: str
    prompt: str
    answer: str


@dataclass(slots=True)
class Chat:
    """A conversation, kept in the kernel: the API stores no turns (en/api-reference/generations/text)."""

    name: str
    kept: list[Turn] = field(default_factory=list)

    @property
    def turns(self) -> list[Message]:
        return _messages(self.kept)

    def before(self, key: str) -> tuple[Message, ...]:
        """The turns ahead of the one this cell made, or all of them."""
        place = next((index for index, turn in enumerate(self.kept) if key and turn.key == key), len(self.kept))
        return tuple(_messages(self.kept[:place]))

    def add(self, key: str, prompt: str, answer: str) -> None:
        turn = Turn(key, prompt, answer)
        for index, old in enumerate(self.kept):
            if key and old.key == key:
                self.kept[index] = turn
                return
        self.kept.append(turn)

    def reset(self) -> None:
        self.kept.clear()


def _messages(turns: list[Turn]) -> list[Message]:
    return [message for turn in turns for message in (Message("user", turn.prompt), Message("assistant", turn.answer))]
