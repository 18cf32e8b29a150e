"""`map`, as people call it: a prompt over the rows of a frame. What does it is `_batch`, imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ._calling import Calling

if TYPE_CHECKING:
    import pandas as pd

    from ._batch import Map
    from ._values import Reuse

__all__ = ["Mapping"]


class Mapping(Calling):
    """The part of a session that maps."""

    last_map: Map | None = None

    def map(
        self,
        /,
        data: pd.DataFrame | pd.Series[Any],
        template: str | None = None,
        *,
        model: str,
        category: str | None = None,
        budget: int | None = None,
        max_price: int | None = None,
        concurrency: int = 16,
        on_error: Literal["keep", "raise"] = "keep",
        out: str = "result",
        params: dict[str, Any] | None = None,
        input: Any = None,
        reuse: Reuse = "all",
        tag: str | None = None,
        dry_run: bool = False,
        progress: bool = True,
        scheduler: Any = None,
        **options: Any,
    ) -> Any:
        """Ask a model for every row: a frame under the same index with `out`, `tokens`, `status`, `error`, `call_id`.

        `template` sees the row's columns, ``{{title}}``, and nothing else (of a Series ``{{value}}``). `params` says
        which parameter is read from which column, `input` which column holds URLs or files; `options` are the same for
        all rows. `budget` is what this map may spend, over all its runs; with it or `max_price` (of this run) the price
        is consented to. ``dry_run=True`` gives the `Plan` and buys nothing. What is stored or paid is never bought
        again: run it again for the rest. Rows that fail keep their place; ``on_error="raise"`` stops at the first.
        `scheduler` is the `Client` of a Dask cluster whose workers do it, all against one ledger and one budget.

        Raises `BadParam`, `PriceAboveMax`, `ConfirmPrice` before anything is sent.
        """
        from ._batch import Spec, consent, plan_map, run_map

        spec = Spec(
            model=model,
            template=template,
            category=category,
            options=options,
            params=params or {},
            input=input,
            out=out,
            reuse=reuse,
            tag=tag,
        )
        made = plan_map(self, data, spec, budget=budget, max_price=max_price, concurrency=concurrency)
        if dry_run:
            return made.plan
        crew = None if scheduler is None else made.crew(self, scheduler, concurrency=concurrency, on_error=on_error)
        consent(made.plan, budget=budget, max_price=max_price, confirm_above=self.settings.confirm_above)
        self.last_map = made
        run_map(made, budget=budget, concurrency=concurrency, on_error=on_error, progress=progress, crew=crew)
        return made.frame
