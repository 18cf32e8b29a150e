"""Elumenta's AI models in Jupyter: you know what a cell costs before, during and after.

    %load_ext elumenta_nb

    %%elumenta image dall-e-3 --size 1792x1024
    a lighthouse at dawn

or, in Python, ``import elumenta_nb as el`` and ``el.generate("gpt-5", "…")``. Importing this imports nothing heavy:
names are looked up when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._pandas import install as _install

if TYPE_CHECKING:
    from . import sandbox
    from ._api import (
        account_history,
        agenerate,
        balance,
        budget,
        budgets,
        generate,
        generate_many,
        jobs,
        map as map,  # noqa: A004 - public, but not in `__all__`: a star import must not replace Python's own
        me,
        models,
        plans,
        price_notebook,
        quote,
        reconcile,
        resume,
        spend,
        stats,
        stream,
        submit,
    )
    from ._batch import Map
    from ._calling import Pending, Stream
    from ._errors import (
        AuthFailed,
        BadParam,
        BadReply,
        BudgetExceeded,
        ConfigError,
        ConfirmPrice,
        DownloadFailed,
        ElumentaError,
        GenerationFailed,
        InsufficientTokens,
        InvalidCall,
        JobTimedOut,
        LedgerError,
        NoKey,
        NotFound,
        NotStored,
        OutcomeUnknown,
        PlanRequired,
        PriceAboveMax,
        RateLimited,
        Rejected,
        ServerError,
        TransportError,
        UnknownModel,
    )
    from ._magics import load_ipython_extension, unload_ipython_extension
    from ._panels import dashboard, jobs_panel, panel
    from ._result import Result
    from ._runtime import Handle
    from ._session import Session, configure, current as session, reset
    from ._values import Balance, Limits, Quote

    __version__: str
    last_map: Map | None  # of the session in use

__all__ = [
    "AuthFailed",
    "BadParam",
    "BadReply",
    "Balance",
    "BudgetExceeded",
    "ConfigError",
    "ConfirmPrice",
    "DownloadFailed",
    "ElumentaError",
    "GenerationFailed",
    "Handle",
    "InsufficientTokens",
    "InvalidCall",
    "JobTimedOut",
    "LedgerError",
    "Limits",
    "NoKey",
    "NotFound",
    "NotStored",
    "OutcomeUnknown",
    "Pending",
    "PlanRequired",
    "PriceAboveMax",
    "Quote",
    "RateLimited",
    "Rejected",
    "Result",
    "ServerError",
    "Session",
    "Stream",
    "TransportError",
    "UnknownModel",
    "account_history",
    "agenerate",
    "balance",
    "budget",
    "budgets",
    "configure",
    "dashboard",
    "generate",
    "generate_many",
    "jobs",
    "jobs_panel",
    "load_ipython_extension",
    "me",
    "models",
    "panel",
    "plans",
    "price_notebook",
    "quote",
    "reconcile",
    "reset",
    "resume",
    "sandbox",
    "session",
    "spend",
    "stats",
    "stream",
    "submit",
    "unload_ipython_extension",
]

_HOMES = {
    "_calling": "Pending Stream",
    "_api": "account_history agenerate balance budget budgets generate generate_many jobs map me models "
    "plans price_notebook quote reconcile resume spend stats stream submit",
    "_errors": "AuthFailed BadParam BadReply BudgetExceeded ConfigError ConfirmPrice DownloadFailed ElumentaError "
    "GenerationFailed InsufficientTokens InvalidCall JobTimedOut LedgerError NoKey NotFound NotStored OutcomeUnknown "
    "PlanRequired PriceAboveMax RateLimited Rejected ServerError TransportError UnknownModel",
    "_magics": "load_ipython_extension unload_ipython_extension",
    "_panels": "dashboard jobs_panel panel",
    "_result": "Result",
    "_runtime": "Handle",
    "_session": "Session configure reset",
    "_values": "Balance Limits Quote",
}
_WHERE = {name: (home, name) for home, names in _HOMES.items() for name in names.split()}
_WHERE["session"] = ("_session", "current")


if not TYPE_CHECKING:  # a checker takes the imports above, and finds a name that is not there

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("elumenta-nb")
        if name == "last_map":  # another one after each map
            return import_module("._session", __name__).current().last_map
        if name == "sandbox":
            return import_module(".sandbox", __name__)
        if name not in _WHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home, attribute = _WHERE[name]
        value = getattr(import_module(f".{home}", __name__), attribute)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*__all__, "last_map", "map"])


_install()  # `df.elumenta`, the moment pandas is there
