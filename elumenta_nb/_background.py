"""A background call in its cell: a line that changes while it runs, then what came of it and its receipt.

The call ends on the background thread; displays belong to the kernel's loop, so every change is handed over to it.
Front ends that keep only the first state see the end by `%elumenta show`.
"""

from __future__ import annotations

import uuid
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from . import _receipt
from ._errors import ElumentaError
from ._language import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._progress import Subject
    from ._result import Result
    from ._runtime import Handle
    from ._shell import Shell

__all__ = ["follow"]


def follow(handle: Handle[list[Result]], front: Shell, subject: Subject) -> None:
    """Show that the call runs; in the same places what came of it, and its receipt."""
    loop = front.loop()
    result_slot, receipt_slot = uuid.uuid4().hex, uuid.uuid4().hex
    name = f"{subject.model} × {subject.count}" if subject.count > 1 else subject.model
    front.show(_receipt.said(_("{model}: running in the background").format(model=name)), slot=result_slot)
    if loop is None or not front.is_live:
        return
    front.show(_receipt.said(_("All of them: %elumenta jobs")), slot=receipt_slot)

    def change(slot: str, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
        loop.call_soon_threadsafe(lambda: front.update(slot, data, metadata))

    def ended(done: Handle[list[Result]]) -> None:
        try:
            results = done.result()
        except ElumentaError as error:
            change(result_slot, _receipt.said(f"{name}: {type(error).__name__}: {error}"))
            change(receipt_slot, _receipt.said(error.money()))
        except CancelledError:
            change(result_slot, _receipt.said(_("{model}: stopped waiting").format(model=name)))
            change(receipt_slot, _receipt.said(_("What was accepted is still charged: %elumenta recover")))
        else:
            _show(results)

    def _show(results: list[Result]) -> None:
        from ._render import receipt

        change(result_slot, *results[0]._repr_mimebundle_())
        receipts = [result.receipt for result in results if result.receipt is not None]
        if receipts:
            note = _("the others: {line}").format(line="%elumenta show ID") if len(results) > 1 else ""
            change(receipt_slot, *receipt(_receipt.together(receipts, note=note)))

    handle.then(ended)
