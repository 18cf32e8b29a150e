"""Refuses a cell with an API key in it before it runs, and takes the key out of the kernel's memory of that cell.

The cell's own text is in the notebook, where only its owner can delete it; the error says so.
"""

from __future__ import annotations

import ast
import linecache
import re
from typing import TYPE_CHECKING, Any, Final

from ._errors import AuthFailed, redact
from ._language import gettext as _
from ._shell import InputRejected

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["KeyGuard", "KeyInCell"]

_KEY: Final = re.compile(r"(?<![A-Za-z_])nb_[A-Za-z0-9_]{20,}")
_ASSIGNS: Final = re.compile(r"api_key|elumenta\s+login", re.IGNORECASE)


class KeyInCell(AuthFailed, InputRejected):
    """A key, or the documentation's placeholder for one, is typed into a cell. Nothing of the cell ran."""


class KeyGuard(ast.NodeTransformer):
    """Three hooks of one shell: before a cell, on its syntax tree (where a refusal is red and final), after it."""

    def __init__(self, ip: Any) -> None:
        self._ip = ip
        self._source = ""
        self._masks = False

    def begin(self, info: Any) -> None:
        """The `pre_run_cell` event: from here on the shell stores the input."""
        self._source = info.raw_cell or ""
        history = self._ip.history_manager
        if history is not None and not self._masks and _KEY.search(self._source):
            store = history.store_inputs

            def masked(number: int, source: str, raw: str | None = None) -> None:
                store(number, _masked(source), None if raw is None else _masked(raw))

            history.store_inputs = masked  # the history's own thread writes what is stored to disk at any moment
            self._masks = True

    def visit(self, node: ast.AST) -> Any:
        """Called by the shell with the parsed cell. Raises `KeyInCell`."""
        known = {*_bound_names(node), *self._ip.user_ns}
        texts = [self._source, *_constants(node)]  # a key after an escape stands alone only in what the text means
        if any(found not in known for text in texts for found in _KEY.findall(text)):
            raise KeyInCell(
                _("There is an API key in this cell; it was not run."),
                hint=_(
                    "Delete it from the cell: the notebook file keeps what is typed\n"
                    "Make a new key if the notebook was saved or shared\n"
                    "Enter it where it does not show: %elumenta login"
                ),
            )
        from ._keys import PLACEHOLDER

        if PLACEHOLDER in self._source and _ASSIGNS.search(self._source.replace(PLACEHOLDER, "")):
            raise KeyInCell(
                _("nb_YOUR_API_KEY is the placeholder of the documentation, not a key."),
                hint=_("Enter your own, where it does not show: %elumenta login"),
            )
        return node

    def end(self, _result: Any = None) -> None:
        """The `post_run_cell` event: what else keeps the source of a cell forgets the key."""
        if not self._masks:
            return
        self._masks = False
        del self._ip.history_manager.store_inputs  # the class's own again
        self._scrub()

    def _scrub(self) -> None:
        history = self._ip.history_manager
        for inputs in (history.input_hist_parsed, history.input_hist_raw):
            inputs[:] = [_masked(text) for text in inputs]
        with history.db_input_cache_lock:
            history.db_input_cache[:] = [
                (number, _masked(source), _masked(raw)) for number, source, raw in history.db_input_cache
            ]
        for name in ("_i00", "_i", "_ii", "_iii"):
            setattr(history, name, _masked(getattr(history, name, "")))
        names = self._ip.user_ns
        for name, value in list(names.items()):
            if re.fullmatch(r"_i+\d*", name) and isinstance(value, str):
                names[name] = _masked(value)
        for name, entry in list(linecache.cache.items()):
            if len(entry) > 2 and any(_KEY.search(line) for line in entry[2]):
                del linecache.cache[name]
        result = getattr(self._ip, "last_execution_result", None)
        if result is not None and result.info is not None:
            for field in ("raw_cell", "transformed_cell"):
                setattr(result.info, field, _masked(getattr(result.info, field, None) or ""))


def _masked(text: str) -> str:
    return redact(text) if _KEY.search(text) else text


def _constants(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            yield node.value if isinstance(node.value, str) else node.value.decode("latin-1")


def _bound_names(tree: ast.AST) -> Iterator[str]:
    """Names the cell gives to things: a long variable that begins with nb_ is no key."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Attribute(attr=name):
                yield name
            case ast.keyword(arg=str(name)):
                yield name
            case ast.alias(name=name, asname=other):
                yield from (*name.split("."), *([other] if other else []))
            case _:
                pass
