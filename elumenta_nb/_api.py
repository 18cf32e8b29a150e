"""The functions people import: the methods of the session in use, under their own names."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from ._session import Session, current
from ._surroundings import notebook

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import pandas as pd

__all__ = [
    "account_history",
    "agenerate",
    "balance",
    "budget",
    "budgets",
    "generate",
    "generate_many",
    "jobs",
    "map",
    "me",
    "models",
    "plans",
    "price_notebook",
    "quote",
    "reconcile",
    "resume",
    "spend",
    "stats",
    "stream",
    "submit",
]


def price_notebook(path: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """What running all cells of a saved notebook would cost: a row per line that buys, in Elumenta tokens.

    Without `path` this notebook, its templates filled with its variables as they are now. Nothing is sent but questions
    of price. `.attrs` has the sums `low` and `high`, and the `balance`. Raises `BadParam` for a file that is no notebook.
    """
    from ._notebook_price import price_of_notebook
    from ._verbs import VERBS

    file, namespace = notebook(path)
    return price_of_notebook(current(), file, verbs=VERBS, namespace=namespace).frame()


P = ParamSpec("P")
R = TypeVar("R")


def _face(method: Callable[Concatenate[Session, P], R]) -> Callable[P, R]:
    """The method, of the session in use: `el.spend()` is `el.session().spend()`."""

    @wraps(method)
    def face(*args: P.args, **kwargs: P.kwargs) -> R:
        return method(current(), *args, **kwargs)

    whole = inspect.signature(method)
    face.__signature__ = whole.replace(parameters=list(whole.parameters.values())[1:])  # type: ignore[attr-defined]  # what help() reads
    return face


account_history = _face(Session.account_history)
agenerate = _face(Session.agenerate)
balance = _face(Session.balance)
budget = _face(Session.budget)
budgets = _face(Session.budgets)
generate = _face(Session.generate)
generate_many = _face(Session.generate_many)
jobs = _face(Session.jobs)
map = _face(Session.map)  # noqa: A001 - the interface
me = _face(Session.me)
models = _face(Session.models)
plans = _face(Session.plans)
quote = _face(Session.quote)
reconcile = _face(Session.reconcile)
resume = _face(Session.resume)
spend = _face(Session.spend)
stats = _face(Session.stats)
stream = _face(Session.stream)
submit = _face(Session.submit)
