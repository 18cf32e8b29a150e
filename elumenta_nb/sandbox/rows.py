"""What the sandbox's economy speaks of: accounts, generations, limits and refusals, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._catalog import catalog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elumenta_nb._catalog import Model, Plan

__all__ = ["Account", "Generation", "Refusal", "Usage", "min_plan", "plan_named"]

_FREE_TOO: Final = {"minimax-tts"}  # "Free" on en/api-reference/generations/tts, a dash on the token page


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """An answer with an error status: the API's code, message and what else its body says."""

    def __init__(
        self, status: int, code: str, message: str, details: Mapping[str, Any] | None = None, **more: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": code, "message": message, "details": dict(details or {}), **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account as it stands. Limits are requests an hour and a day; 0 is unlimited."""

    id: int
    name: str
    plan: str
    plan_tokens: int
    package_tokens: int
    limit_hour: int
    limit_day: int
    refills_at: float | None
    created_at: float
    fail_next: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def balance(self) -> int:
        return self.plan_tokens + self.package_tokens

    @property
    def row(self) -> Plan:
        """Its row in the table of plans."""
        return plan_named(self.plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What is left of the limits; `resets_at` is a Unix time in seconds."""

    hour: int
    hour_left: int
    day: int
    day_left: int
    resets_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A row of the account's history. `media` says how its file can be made, now or in another process."""

    id: int
    model: str
    category: str
    prompt: str
    params: Mapping[str, Any]
    status: str
    price: int
    tokens: int
    balance: int | None
    text: str | None
    error: str | None
    media: Mapping[str, Any] | None
    created_at: float
    ready_at: float
    completed_at: float | None
    favorite: bool
    rating: int | None


def plan_named(name: str) -> Plan:
    wanted = name.strip().lower()
    found = next((plan for plan in catalog().plans if wanted in (plan.api, plan.name.lower())), None)
    if found is None:
        known = ", ".join(plan.api for plan in catalog().plans)
        raise Refusal(400, "bad_request", f"No plan {name!r}; plans: {known}")
    return found


def min_plan(model: Model) -> str:
    """``free`` or ``basic``: a model whose tier no page gives needs a paid plan, as the free one lists its own."""
    return "free" if model.tier == "Starter" or model.slug in _FREE_TOO else "basic"
