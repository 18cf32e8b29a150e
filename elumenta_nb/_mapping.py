"""`map`, as people call it: a prompt over the rows of a frame. What does it is `_batch`, imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from ._calling import Calling
from ._language import gettext as _

if TYPE_CHECKING:
    import pandas as pd

    from ._batch import Map
    from ._values import Reuse

__all__ = ["Mapping"]

DRAINED_S: Final = 70.0


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
        `scheduler` is the `Client` of a Dask cluster whose workers do it, all against one ledger and one budget; with it
        `data` may be a `dask.dataframe`, and so is then what comes back: bought now, written to files, read when used.

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
        if self.last_map is not None:  # an interrupted one may still bring home what it had sent
            self.last_map.drained(DRAINED_S)
        if _is_of_dask(data):
            from ._batch._partitions import map_partitions

            return map_partitions(
                self,
                data,
                spec,
                scheduler=scheduler,
                budget=budget,
                max_price=max_price,
                concurrency=concurrency,
                on_error=on_error,
                dry_run=dry_run,
                progress=progress,
            )
        made = plan_map(self, data, spec, budget=budget, max_price=max_price, concurrency=concurrency)
        if dry_run:
            return made.plan
        crew = None if scheduler is None else made.crew(self, scheduler, concurrency=concurrency, on_error=on_error)
        consent(made.plan, budget=budget, max_price=max_price, confirm_above=self.settings.confirm_above)
        self.last_map = made
        try:
            run_map(made, budget=budget, concurrency=concurrency, on_error=on_error, progress=progress, crew=crew)
        except KeyboardInterrupt as stop:
            from ._interrupt import shorten

            goes_on = _("What was sent is seen through and charged; nothing else is bought.")
            shorten(stop, [goes_on, "→ " + _("Run it again for the rest: what is done is not bought again.")])
            raise
        return made.frame

    def results_of(self, frame: pd.DataFrame) -> pd.Series[Any]:
        """The stored `Result` of each row of a frame that `map` returned, ``None`` where there is none."""
        from ._batch import results_of

        services = self.services()
        return results_of(services, frame, [services.api] if services.api else sorted(services.store.apis))


def _is_of_dask(data: Any) -> bool:
    """Whether it is a frame or a Series of Dask; nothing is imported for it."""
    return type(data).__module__.startswith(("dask.", "dask_expr."))
