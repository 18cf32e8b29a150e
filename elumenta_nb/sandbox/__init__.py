"""An Elumenta on loopback: the documented API with its whole token economy, for rehearsal, lessons and tests.

Nothing here is a model and nothing leaves the machine: every text, picture, film and sound says SANDBOX.
Importing this package is cheap; `serve` needs the extra: ``pip install "elumenta-nb[sandbox]"``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .faults import Seen
    from .rows import Account
    from .server import Server, serve

__all__ = ["Account", "Seen", "Server", "serve"]

_HOMES = {"Account": "rows", "Seen": "faults", "Server": "server", "serve": "server"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
