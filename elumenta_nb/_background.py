"""A background call in its cell: one line that changes while it runs, and what came of it.

The call's events arrive on the background thread; displays belong to the kernel's loop, so every change is handed
over to it. Front ends that keep only the first state see the end by `%elumenta show`.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from . import _receipt
from ._errors import ElumentaError
from ._language import gettext as _

if TYPE_CHECKING:
    from ._progress import Subject
    from ._result import Result
    from ._runtime import Handle
    from ._shell import Shell

__all__ = ["follow"]


def follow(handle: Handle[list[Result]], front: Shell, subject: Subject) -> None:
    """Show that the call runs, and in the same place what came of it."""
    slot = uuid.uuid4().hex
    loop = front.loop()
    doing = _("{model}: running in the background").format(model=subject.model)
    front.show(_receipt.said(doing), slot=slot)
    if loop is None or not front.is_live:
        return

    def change(data: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        loop.call_soon_threadsafe(lambda: front.update(slot, data, metadata))

    def ended(done: Handle[list[Result]]) -> None:
        try:
            results = done.result()
        except ElumentaError as error:
            change(_receipt.said(f"{subject.model}: {type(error).__name__}: {error} {error.money()}"))
        except BaseException:  # noqa: BLE001 - a stopped future raises CancelledError, on nobody's behalf
            change(_receipt.said(_("{model}: stopped waiting").format(model=subject.model)))
        else:
            _show(results, change)

    handle.then(ended)


def _show(results: list[Result], change: Any) -> None:
    data, metadata = results[0]._repr_mimebundle_()
    change(data, metadata)
