"""A map over a `dask.dataframe`, whose rows never are in one memory: planned and bought partition by partition.

Nothing is bought when the result is computed: `map_partitions` buys at once, each partition on a worker, and writes what
became of it as Parquet into the folder of the results. What it returns reads those files.
"""

from __future__ import annotations

import secrets
from array import array
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._errors import BadParam, ConfigError
from elumenta_nb._language import gettext as _
from elumenta_nb._runtime import Silent
from elumenta_nb._wiring import runtime

from ._cluster import Fleet, client_of, deal_of
from ._map import VALUE, Prepared, consent, prepare, set_map_budget, shown_run
from ._plan import Fate, Plan, affordable, limits_of, seconds_for
from ._sheet import Tally, blank_frame
from ._worker import Deal, Told, prepared_at, see_through

if TYPE_CHECKING:
    import pandas as pd

    from elumenta_nb._buying import Buying

    from ._spec import Spec
    from ._view import Show

__all__ = ["map_partitions"]

DIGEST: Final = 8  # bytes by which calls of different partitions are told apart in the plan


@dataclass(slots=True)
class Weight(Told):
    """What a worker knows of a partition before anything is bought: its calls by mark, fate and price."""

    rows: int = 0
    refused: int = 0
    refusals: tuple[str, ...] = ()
    marks: bytes = b""
    fates: bytes = b""
    held: array[int] = field(default_factory=lambda: array("l"))
    low: array[int] = field(default_factory=lambda: array("l"))
    exact: bool = True


@dataclass(slots=True)
class Written(Told):
    """What became of a partition whose file is written."""

    counts: dict[str, int] = field(default_factory=dict)
    tokens: int = 0


# -------------------------------------------------------------------- on the workers


def weight_of(deal: Deal, spec: Spec, data: pd.DataFrame | pd.Series[Any]) -> Weight:
    """The calls of a partition; nothing is sent but questions of price."""
    prepared = prepared_at(deal, spec, _frame(data))
    survey, weighed = prepared.survey, prepared.weighed
    held, low = array("l"), array("l")
    for number, fate in enumerate(weighed.fates):
        kind = survey.kinds[number]
        quote = weighed.quotes.get(kind) if fate == Fate.BUY else None
        held.append(weighed.held[kind] if quote else 0)
        low.append((quote.tokens if quote.exact else quote.minimum) if quote else 0)
    return Weight(
        rows=prepared.plan.rows,
        refused=prepared.plan.refused,
        refusals=prepared.plan.refusals,
        marks=b"".join(mark[:DIGEST] for mark in survey.fingerprints),
        fates=bytes(weighed.fates),
        held=held,
        low=low,
        exact=prepared.plan.exact,
    )


def written(deal: Deal, spec: Spec, data: pd.DataFrame | pd.Series[Any], part: int, path: str) -> Written:
    """See a partition through and write its frame: whole, or the file of before."""
    prepared, runner = see_through(deal, spec, _frame(data), part)
    frame, target = prepared.sheet.frame(), Path(path)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    frame.to_parquet(draft)
    draft.replace(target)
    counts = frame["status"].value_counts()
    return Written(
        stopped=runner.stopped,
        error=runner.error,
        counts={str(name): int(n) for name, n in counts.items()},
        tokens=int(frame["tokens"].sum()),
    )


def unbought(data: pd.DataFrame | pd.Series[Any], out: str, why: str, path: str) -> None:
    """The file of a partition that was not begun."""
    blank_frame(data.index, out, why).to_parquet(path)


def _frame(data: Any) -> pd.DataFrame:
    frame: pd.DataFrame = data.to_frame(VALUE) if data.ndim == 1 else data
    return frame


# -------------------------------------------------------------------- on the client


class Count:
    """What the partitions that are done add up to."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.counts: Counter[str] = Counter()
        self.tokens = 0

    @property
    def done(self) -> int:
        return self.counts.total()

    def brief(self) -> Tally:
        counts, plan = self.counts, self._plan
        return Tally(
            model=plan.model,
            calls=plan.rows,
            done=self.done,
            failed=counts["failed"],
            tokens=self.tokens,
            rows=plan.rows,
            rows_done=counts["completed"],
            rows_failed=counts["failed"],
            rows_not_bought=counts["not bought"] + (plan.rows - self.done),
            rows_open=counts["pending"] + counts["unknown"] + counts["waiting"],
        )

    tally = brief

    def leave(self, _why: str, but: Any = ()) -> None:
        """Nothing: a partition that was not begun has no file."""


class Weighing(Fleet):
    """Plans the partitions."""

    def __init__(self, client: Any, sheet: Count, spec: Spec, *, concurrency: int) -> None:
        super().__init__(client, sheet, concurrency=concurrency)
        self._spec = spec
        self.weights: list[Weight] = []

    def _sent(self, number: int, part: Any) -> Any:  # noqa: ARG002 - as a part is sent
        return _computed(self._client, partial(weight_of, self.deal, self._spec), part)

    def _taken(self, part: Any, told: Told) -> None:  # noqa: ARG002 - as a part is taken
        if isinstance(told, Weight):
            self.weights.append(told)


class Writing(Fleet):
    """Sees the partitions through."""

    def __init__(self, client: Any, sheet: Count, spec: Spec, folder: Path, *, concurrency: int) -> None:
        super().__init__(client, sheet, concurrency=concurrency)
        self._spec = spec
        self._folder = folder
        self._count = sheet
        self.written: set[int] = set()

    def _sent(self, number: int, part: tuple[int, Any]) -> Any:
        which, delayed = part
        path = str(self._folder / file_name(which))
        function = partial(written, self.deal, self._spec, part=number, path=path)
        return _computed(self._client, function, delayed)

    def _taken(self, part: tuple[int, Any], told: Told) -> None:
        if isinstance(told, Written):
            self.written.add(part[0])
            self._count.counts.update(told.counts)
            self._count.tokens += told.tokens


def _computed(client: Any, function: Any, part: Any) -> Any:
    import dask

    untyped: Any = dask
    return client.compute(untyped.delayed(function, pure=False)(part))


def file_name(part: int) -> str:
    return f"part-{part:05d}.parquet"


def map_partitions(
    session: Buying,
    data: Any,
    spec: Spec,
    *,
    scheduler: Any,
    budget: int | None,
    max_price: int | None,
    concurrency: int,
    on_error: str,
    dry_run: bool,
    progress: bool,
) -> Any:
    """The `Plan`, or a `dask.dataframe` over the files of the results with the partitions and the index of `data`."""
    if scheduler is None:
        raise BadParam(
            _("The rows of a dask.dataframe are asked for on a cluster: it needs scheduler=."),
            hint="el.map(..., scheduler=distributed.Client())",
        )
    client = client_of(scheduler)
    if find_spec("pyarrow") is None:
        raise ConfigError(
            _("Parquet and Arrow files need pyarrow, which is not installed."), hint='pip install "elumenta-nb[batch]"'
        )
    empty = prepare(session, _frame(data._meta), spec, budget=budget, concurrency=concurrency)  # noqa: SLF001 - the frame's shape has no public name
    if not empty.services.api:
        raise BadParam(_("On a cluster calls are made; where only stored results are shown there is none."))
    spec = empty.rows.spec
    count = Count(empty.plan)
    parts = data.to_delayed()
    weighing = Weighing(client, count, spec, concurrency=concurrency)
    deal = deal_of(empty, session, width=max(1, concurrency // weighing.abreast), on_error=on_error)
    weighing.muster(deal)
    with weighing.at_work(Silent()):  # type: ignore[arg-type]  # shows nothing
        weighing.see_through(parts, Silent())  # type: ignore[arg-type]  # as above
    if weighing.error is not None:
        raise weighing.error
    plan = _together(empty, weighing.weights, concurrency=concurrency)
    if dry_run:
        return plan
    consent(plan, budget=budget, max_price=max_price, confirm_above=session.settings.confirm_above)
    folder = empty.services.store.folder / f"map-{spec.map_id}"
    folder.mkdir(exist_ok=True)
    count = Count(plan)
    writing = Writing(client, count, spec, folder, concurrency=concurrency)
    writing.muster(deal)
    if budget is not None:
        set_map_budget(empty, budget)

    def run(show: Show) -> None:
        with writing.at_work(show):
            writing.see_through(enumerate(parts), show)

    shown_run(writing, count, writing.board, run, progress=progress, sandbox=plan.sandbox)
    if writing.error is not None and (on_error == "raise" or not writing.written):
        raise writing.error
    left = [number for number in range(len(parts)) if number not in writing.written]
    client.gather(
        [
            _computed(
                client,
                partial(unbought, out=spec.out, why=writing.stopped, path=str(folder / file_name(number))),
                parts[number],
            )
            for number in left
        ]
    )
    return _read(data, folder, empty)


def _together(empty: Prepared, weights: list[Weight], *, concurrency: int) -> Plan:
    """One plan of all partitions: equal rows are bought once, also those of different partitions."""
    import pandas as pd

    marks, held, low = array("Q"), array("l"), array("l")
    for weight in weights:
        marks.frombytes(weight.marks)
        held.extend(weight.held)
        low.extend(weight.low)
    calls = pd.DataFrame(
        {"mark": marks, "fate": list(b"".join(weight.fates for weight in weights)), "held": held, "low": low}
    )
    if empty.rows.spec.reuse != "off":
        calls = calls.drop_duplicates("mark")
    fates = Counter(calls["fate"].tolist())
    prices = calls.loc[calls["fate"] == Fate.BUY, "held"].tolist()
    plan, base = empty.plan, empty.rows.base
    left = plan.budget_left
    limits = runtime.call(lambda: limits_of(empty.services))
    return replace(
        plan,
        rows=sum(weight.rows for weight in weights),
        calls=fates.total(),
        refused=sum(weight.refused for weight in weights),
        refusals=tuple(text for weight in weights for text in weight.refusals)[:3],
        stored=fates[Fate.STORED],
        open=fates[Fate.OPEN],
        paid=fates[Fate.PAID],
        missing=fates[Fate.NOT_STORED],
        to_buy=fates[Fate.BUY],
        price=int(calls["held"].sum()),
        low=int(calls["low"].sum()),
        exact=all(weight.exact for weight in weights),
        affordable=len(prices) if left is None else affordable(left, prices),
        hour=limits.hour,
        seconds=seconds_for(len(prices), base.typical_s, limits, concurrency),
    )


def _read(data: Any, folder: Path, empty: Prepared) -> Any:
    import dask.dataframe as dd
    import pandas as pd

    meta = empty.sheet.frame().iloc[:0]
    paths = [str(folder / file_name(number)) for number in range(data.npartitions)]
    options: dict[str, Any] = {"divisions": data.divisions} if data.known_divisions else {}
    untyped: Any = dd
    return untyped.from_map(pd.read_parquet, paths, meta=meta, enforce_metadata=False, **options)
