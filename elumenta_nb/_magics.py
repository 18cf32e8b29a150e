"""The magic `elumenta` and its loading: hooks of the shell, and nothing that takes time.

`%load_ext elumenta_nb` opens nothing, writes nothing and prints nothing; what a line does is in `_cells`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from ._guard import KeyGuard
from ._shell import Shell

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from ._cells import Cells
    from ._session import Session

__all__ = ["ElumentaMagics", "load_ipython_extension", "unload_ipython_extension"]

_LINE: Final = re.compile(r"(?:^|=)\s*(%{1,2})elumenta[ \t]+(.*)$", re.DOTALL)
_FIRST_LINE: Final = re.compile(r"\s*%%elumenta\b")


@magics_class
class ElumentaMagics(Magics):
    """`%%elumenta CATEGORY [MODEL] [options]` and `%elumenta VERB`."""

    def __init__(self, shell: InteractiveShell, session: Callable[[], Session] | None = None) -> None:
        super().__init__(shell)
        self.ip: Any = shell
        self.front = Shell(shell)
        self.session = session or self._current
        self.guard = KeyGuard(shell)
        self._cells: Cells | None = None
        self._matcher = matcher(self.session)

    @no_var_expand
    @line_cell_magic
    def elumenta(self, line: str = "", cell: str | None = None) -> Any:
        """Make text, images, video, music and speech with Elumenta, and know what it costs: %elumenta -h"""
        if self._cells is None:
            from ._cells import Cells

            self._cells = Cells(self.front, self.session)
        return self._cells.run(line, cell)

    def _current(self) -> Session:
        from ._session import current

        return current(self.front.folder)

    def attach(self) -> None:
        ip = self.ip
        ip.register_magics(self)
        for event, hook in self._hooks():
            ip.events.register(event, hook)
        ip.ast_transformers.append(self.guard)
        ip.input_transformers_cleanup.append(with_body)
        ip.Completer.custom_matchers.append(self._matcher)

    def detach(self) -> None:
        ip = self.ip
        for event, hook in self._hooks():
            with suppress(ValueError):
                ip.events.unregister(event, hook)
        places: list[tuple[list[Any], Any]] = [
            (ip.ast_transformers, self.guard),
            (ip.input_transformers_cleanup, with_body),
            (ip.Completer.custom_matchers, self._matcher),
        ]
        for place, ours in places:
            with suppress(ValueError):
                place.remove(ours)
        for kind in ("line", "cell"):
            ip.magics_manager.magics[kind].pop("elumenta", None)
        ip.magics_manager.registry.pop(type(self).__name__, None)

    def _hooks(self) -> list[tuple[str, Callable[[Any], None]]]:
        return [
            ("pre_run_cell", self.guard.begin),
            ("pre_run_cell", self.front.begin),
            ("post_run_cell", self.front.end),
            ("post_run_cell", self.guard.end),
        ]


def matcher(session: Callable[[], Session]) -> Any:
    """A matcher for IPython; `session` is asked only for names it holds in memory."""

    @context_matcher()  # type: ignore[untyped-decorator]  # IPython leaves it untyped
    def elumenta_matcher(context: CompletionContext) -> Any:
        line = context.text_until_cursor
        found = _LINE.search(line)
        if found is None or (found[1] == "%%" and context.cursor_line > 0):
            return {"completions": [], "suppress": False}
        from ._completion import complete

        fragment, matches = complete(found[2], chats=lambda: list(session().chats))
        return {
            "completions": [SimpleCompletion(text=text, type=kind) for text, kind in matches],
            "matched_fragment": fragment,
            "suppress": True,
            "ordered": True,
        }

    return elumenta_matcher


def with_body(lines: list[str]) -> list[str]:
    """An input transformer: IPython refuses a cell magic with an empty body before we see it, so give it one."""
    if lines and _FIRST_LINE.match(lines[0]) and not "".join(lines[1:]).strip():
        return [lines[0].rstrip("\n") + "\n", "\n"]
    return lines


# IPython leaves such a transformer out when it asks whether a cell is complete: in a terminal the first line's Enter
# must open the body, not run the cell without one.
with_body.has_side_effects = True  # type: ignore[attr-defined]  # a mark that IPython reads from the function


def load_ipython_extension(ip: InteractiveShell) -> None:
    """`%load_ext elumenta_nb`."""
    ElumentaMagics(ip).attach()


def unload_ipython_extension(ip: InteractiveShell) -> None:
    """`%unload_ext elumenta_nb`."""
    loaded = ip.magics_manager.registry.get(ElumentaMagics.__name__)
    if isinstance(loaded, ElumentaMagics):
        loaded.detach()
