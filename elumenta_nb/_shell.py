"""What the running front end tells, and the one place that shows things in it.

Says which cell runs, whether a live display makes sense, and where the notebook is; publishes mimebundles. It knows
nothing of calls and prices.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

from IPython.core.error import InputRejected

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping

    from ._values import Origin, Surface

__all__ = ["InputRejected", "Shell"]

_BARE: Final = re.compile(r"^\s*%elumenta\b", re.MULTILINE)
_LABEL_CHARS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """The cell that runs now. `run` is new every time; `id` is empty where the front end sends none."""

    source: str = ""
    id: str = ""
    run: str = ""
    is_stored: bool = False


class Shell:
    """The IPython shell we are loaded into. `folder` is where it ran when we were loaded: papermill moves later."""

    def __init__(self, ip: Any) -> None:
        self.ip = ip
        self.folder = Path.cwd()
        self._cell = _Cell(source=_last_input(ip), id=self._parent_cell_id(), run=uuid.uuid4().hex[:12], is_stored=True)
        self._is_running = True  # %load_ext stands in a cell, and that one ends too
        self._later: list[Callable[[], None]] = []

    # -- the running cell

    def begin(self, info: Any) -> None:
        """The `pre_run_cell` event."""
        self._is_running = True
        self._cell = _Cell(
            source=info.raw_cell or "",
            id=getattr(info, "cell_id", None) or self._parent_cell_id(),
            run=uuid.uuid4().hex[:12],
            is_stored=bool(info.store_history),
        )

    def end(self, _result: Any = None) -> None:
        """The `post_run_cell` event: show what belongs under the cell's value."""
        self._is_running = False
        later, self._later = self._later, []
        for show in later:
            show()

    def after_cell(self, show: Callable[[], None]) -> None:
        """Call this once, when the running cell has shown its value; at once when none is running."""
        if self._is_running:
            self._later.append(show)
        else:
            show()

    @property
    def source(self) -> str:
        return self._cell.source

    @property
    def run(self) -> str:
        return self._cell.run

    def is_statement(self, line: str) -> bool:
        """Whether this line of the magic stands alone in the cell, so that its value would be shown."""
        alone = [row.strip() for row in self.source.splitlines() if _BARE.match(row)]
        return any(row.removeprefix("%elumenta").strip() == line.strip() for row in alone)

    def owns(self, line: str) -> bool:
        """Whether the cell is this line of the magic and nothing else, so that its output may be cleared."""
        return self.source.strip().removeprefix("%elumenta").strip() == line.strip()

    def _parent_cell_id(self) -> str:
        get_parent = getattr(self.ip, "get_parent", None)
        parent = get_parent() if get_parent else {}
        metadata = parent.get("metadata") if isinstance(parent, dict) else None
        found = metadata.get("cellId") if isinstance(metadata, dict) else None
        return found if isinstance(found, str) else ""

    # -- what the front end can do

    @property
    def namespace(self) -> dict[str, Any]:
        names: dict[str, Any] = self.ip.user_ns
        return names

    @property
    def is_kernel(self) -> bool:
        return getattr(self.ip, "kernel", None) is not None

    @property
    def is_live(self) -> bool:
        """Whether a display that changes is seen: nbclient and nbval keep its first state, and send no cell id."""
        return bool(self._cell.id) if self.is_kernel else True

    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The kernel's own loop, where displays of a background call are updated."""
        import asyncio

        if not self.is_kernel:
            return None
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            return None

    # -- where a call comes from

    def origin(self, tags: Iterable[str] = (), *, source: Surface = "magic") -> Origin:
        """The origin of a call made by the running cell."""
        import socket

        from ._config import user_name
        from ._values import Origin

        digest = hashlib.sha256(self.source.strip().encode("utf-8", "replace")).hexdigest()[:16] if self.source else ""
        count = getattr(self.ip, "execution_count", None)
        if count is not None and self._cell.is_stored and _counts_first():
            count -= 1
        return Origin(
            source=source,
            notebook=self.notebook(os.environ),
            cell_id=self._cell.id or (f"source-{digest[:8]}" if digest else ""),
            execution_count=count,
            source_hash=digest,
            label=_label(self.source),
            tags=tuple(dict.fromkeys(tags)),
            user=user_name(os.environ),
            host=socket.gethostname(),
            run=self._cell.run,
        )

    def notebook(self, environ: Mapping[str, str]) -> str:
        """The notebook as its base name and a short hash of its folder, or "" when nothing trustworthy tells it."""
        path = self._told_path(environ)
        if not path:
            return ""
        kind = PureWindowsPath if "\\" in path else PurePosixPath
        pure = kind(path)
        folder = str(pure.parent) if pure.is_absolute() else str(self.folder / Path(path).parent)
        return f"{pure.name}@{hashlib.sha256(folder.encode()).hexdigest()[:6]}"

    def notebook_path(self) -> Path:
        """The file of this notebook. Raises `BadParam` where nothing trustworthy tells it."""
        path = self._told_path(os.environ)
        if not path:
            from ._errors import BadParam
            from ._language import gettext as _

            raise BadParam(
                _("Which notebook this is cannot be told here."),
                hint=_("Give its path: %elumenta price --notebook NAME.ipynb, or set ELUMENTA_NOTEBOOK"),
            )
        return self.folder / path

    def _told_path(self, environ: Mapping[str, str]) -> str:
        path = environ.get("ELUMENTA_NOTEBOOK") or self.namespace.get("__vsc_ipynb_file__")
        if (
            not path and self._cell.id
        ):  # a child kernel inherits the variable: a cell id says this one is the notebook's
            path = environ.get("JPY_SESSION_NAME")
        return path if isinstance(path, str) else ""

    # -- showing

    def show(self, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None, *, slot: str = "") -> None:
        """Show a mimebundle; with a slot it can be changed by `update`."""
        transient = {"display_id": slot} if slot else {}
        self.ip.display_pub.publish(data=dict(data), metadata=dict(metadata or {}), transient=transient)

    def update(self, slot: str, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
        """Change what was shown in that slot."""
        self.ip.display_pub.publish(
            data=dict(data), metadata=dict(metadata or {}), transient={"display_id": slot}, update=True
        )

    def clear(self) -> None:
        """Take away what the cell has shown so far, at the moment the next thing is shown."""
        self.ip.display_pub.clear_output(wait=True)

    def next_cell(self, source: str) -> None:
        """Make the next cell hold this source."""
        self.ip.set_next_input(source, replace=False)


def _last_input(ip: Any) -> str:
    """The source of the running cell: as the front end sent it, which may keep no history, else the last of that."""
    get_parent = getattr(ip, "get_parent", None)
    parent = get_parent() if get_parent else {}
    content = parent.get("content") if isinstance(parent, dict) else None
    code = content.get("code") if isinstance(content, dict) else None
    if isinstance(code, str) and code:
        return code
    history = getattr(ip, "history_manager", None)
    inputs = getattr(history, "input_hist_raw", None)
    return str(inputs[-1]) if inputs else ""


def _counts_first() -> bool:
    """Whether the shell moves on to the next number before it runs a cell: IPython 9.8 and later."""
    from IPython import version_info

    return tuple(version_info[:2]) >= (9, 8)


def _label(source: str) -> str:
    """The comment a code cell begins with. The body of a cell magic is a prompt, and prompts stay out of the ledger."""
    first = source.lstrip().split("\n", 1)[0].strip()
    return first.lstrip("#").strip()[:_LABEL_CHARS] if first.startswith("#") else ""
