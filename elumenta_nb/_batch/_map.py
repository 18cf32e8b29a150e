"""A map from the frame that goes in to the frame that comes out: plan, consent, run; and what is known of it meanwhile.

A cluster uses the halves of this: `prepare` a partition on a worker, `Prepared.runner`, the sheet's frame.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from elumenta_nb._buying import KERNEL
from elumenta_nb._errors import BadParam, ConfirmPrice, ElumentaError, PriceAboveMax
from elumenta_nb._language import gettext as _, number as figure, tokens
from elumenta_nb._order import Order
from elumenta_nb._result import Result
from elumenta_nb._surroundings import origin as here
from elumenta_nb._values import Ask
from elumenta_nb._wiring import runtime

from ._plan import Fate, Weighed, survey, weigh
from ._rows import Rows
from ._runner import Runner, Task
from ._sheet import Sheet, shown_path
from ._view import Counted, Running, Show
from ._words import end_line, plan_facts, plan_sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    import pandas as pd

    from elumenta_nb._buying import Buying
    from elumenta_nb._services import Services
    from elumenta_nb._values import Origin

    from ._cluster import Crew
    from ._gate import Gate
    from ._plan import Plan, Survey
    from ._sheet import Tally
    from ._spec import Spec

__all__ = ["VALUE", "Map", "Prepared", "consent", "plan_map", "prepare", "results_of", "run_map"]

VALUE: Final = "value"  # what a Series' template calls its values
MOST_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Prepared:
    """A frame, or a part of one, ready to be run: nothing was sent yet."""

    services: Services
    rows: Rows
    survey: Survey
    weighed: Weighed
    sheet: Sheet
    api: str

    @property
    def plan(self) -> Plan:
        return self.weighed.plan

    def restore(self) -> None:
        """Put what is stored into the sheet."""
        store, first = self.services.store, self.survey.first
        for number in self.weighed.numbers(Fate.STORED):
            row = first[number]
            take = store.brief(self.survey.fingerprints[number].hex(), lambda row=row: self.rows.at(row).call)  # type: ignore[misc]  # mypy knows no defaults of lambdas
            if take is None:  # its price was not told: it is bought, or fetched, the next time
                self.sheet.leave_one(number, _("its stored result went away since the plan was made: run it again"))
                continue
            media = shown_path(take.media[0].path, store.base) if take.media else None
            self.sheet.put_stored(number, take.text if take.text is not None else media, take.call_id)

    def tasks(self, part: str = "") -> Iterator[Task]:
        """What is to be done, each made when it is asked for; what is paid already first.

        `part` names this attempt at these rows: calls that are bought whatever is stored are then bought once for it.
        """
        alone = self.rows.spec.reuse == "off"
        for fate in (Fate.PAID, Fate.OPEN, Fate.BUY):
            for number in self.weighed.numbers(fate):
                yield Task(
                    number,
                    order := self._order(number),
                    entry=self.weighed.entries.get(number),
                    once=order.fingerprint if not alone else f"{part}:{number}" if part else "",
                )

    def _order(self, number: int) -> Order:
        asked = self.rows.at(self.survey.first[number])
        order = Order.of_call(asked.call, asked.resolved)
        order.fingerprint = self.survey.fingerprints[number].hex()
        if asked.kind in self.weighed.quotes:
            order.quote = self.weighed.quotes[asked.kind]
            order.quoted, order.held = order.quote.tokens, self.weighed.held[asked.kind]
        return order

    def runner(self, *, concurrency: int, on_error: str = "keep", part: str = "", gate: Gate | None = None) -> Runner:
        return Runner(
            self.services,
            self.weighed.account,
            self.tasks(part),
            self.sheet.put,
            concurrency=concurrency,
            label=self.rows.spec.model,
            on_error=on_error,
            gate=gate,
        )


def prepare(
    session: Buying,
    frame: pd.DataFrame,
    spec: Spec,
    *,
    budget: int | None,
    concurrency: int,
    origin: Origin | None = None,
) -> Prepared:
    """Check all rows, look up what is paid, ask for prices. Raises what is wrong; nothing is sent but questions.

    `origin` is where the map was asked for, when that is not here.
    """
    resolved = session.resolve(Ask(category=spec.category, model=spec.model, options=spec.options))
    spec = spec.of(resolved.category.name, resolved.model.slug)
    services = session.services()
    rows = Rows(frame, spec, resolved, origin or asked_here(session, spec))
    api, work = _surveyed(rows, services)
    if services.api:
        services.store.check()
    weighed = runtime.call(
        lambda: weigh(rows, work, services, budget=budget, concurrency=concurrency, map_id=spec.map_id)
    )
    return Prepared(services, rows, work, weighed, Sheet(rows, work, services.store.base), api)


def asked_here(session: Buying, spec: Spec) -> Origin:
    """Where the calls of a map come from. `spec` has the table's names."""
    place = here((spec.tag,) if spec.tag else ())
    tags = tuple(dict.fromkeys((*session.tags, *place.tags)))
    return replace(place, source="batch", kernel=KERNEL, map_id=spec.map_id, tags=tags)


def _surveyed(rows: Rows, services: Services) -> tuple[str, Survey]:
    """The calls, and whose takes count: where only stored ones are shown, those of the API that has any."""
    if services.api:
        return services.api, survey(rows, services, services.api)
    base = rows.base
    found: tuple[int, str, Survey] | None = None
    for api in sorted(services.store.apis, key=lambda api: api == "sandbox") or [""]:
        work = survey(rows, services, api)
        names = (mark.hex() for mark in work.fingerprints)
        held = len(services.store.holds(names, category=base.category.name, model=base.model.slug))
        if found is None or held > found[0]:
            found = (held, api, work)
    assert found is not None
    return found[1], found[2]


class Map:
    """A map over a frame: its `plan`, and what became of its rows so far, also while it runs or after it was stopped."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._runner: Runner | Crew | None = None

    def crew(self, session: Buying, scheduler: Any, *, concurrency: int, on_error: str) -> Crew:
        """The workers of a Dask cluster that are to see it through. Raises `BadParam` where `scheduler` is no client of one."""
        from ._cluster import Crew, client_of

        return Crew(self._prepared, session, client_of(scheduler), concurrency=concurrency, on_error=on_error)

    @property
    def plan(self) -> Plan:
        """What it set out to do."""
        return self._prepared.plan

    @property
    def frame(self) -> pd.DataFrame:
        """The frame as it stands now; rows that are still to come are ``waiting``."""
        return self._prepared.sheet.frame()

    @property
    def stopped(self) -> str:
        """Why it ended early; empty when it did not."""
        return self._runner.stopped if self._runner else ""

    def drained(self, timeout_s: float) -> bool:
        """Whether the calls that were under way when it was stopped have ended, waiting at most so long for them."""
        ends = time.monotonic() + timeout_s
        draining = self._runner.draining if isinstance(self._runner, Runner) else None
        while draining is not None and not draining.done():
            if time.monotonic() >= ends:
                return False
            time.sleep(min(0.05, timeout_s))
        return True

    @property
    def index(self) -> pd.Index:
        """The labels of its rows."""
        return self._prepared.rows.index

    def result(self, label: Any) -> Result:
        """The `Result` of the row with this label. Raises `BadParam` where there is none."""
        rows = self.frame.loc[[label]]
        if len(rows) != 1:
            raise BadParam(_("Several rows are called {label}.").format(label=label))
        found: Result | None = results_of(self._prepared.services, rows, [self._prepared.api]).iloc[0]
        if found is None:
            row = rows.iloc[0]
            raise BadParam(
                _("Row {label} is {status} and has no result.").format(label=label, status=row["status"]),
                hint=str(row["error"]) if isinstance(row["error"], str) else "",
            )
        return found

    def results(self) -> pd.Series[Any]:
        """The `Result` of each row, ``None`` where there is none."""
        return results_of(self._prepared.services, self.frame, [self._prepared.api])

    def gallery(self, n: int = 24, *, columns: int = 4) -> Any:
        """The first `n` media as thumbnails with their rows' labels, small enough for a notebook."""
        from ._gallery import gallery

        return gallery(self.results(), n=n, columns=columns)

    def __repr__(self) -> str:
        tally = self._prepared.sheet.brief()
        done = _("{done} of {all} calls").format(done=figure(tally.done), all=figure(tally.calls))
        return f"<Map {tally.model} · {done} · {tokens(tally.tokens)}{' · ' + self.stopped if self.stopped else ''}>"


def results_of(services: Services, frame: pd.DataFrame, apis: list[str]) -> pd.Series[Any]:
    """The stored results of a frame that a map made, by their calls; nothing is fetched."""
    import pandas as pd

    if "call_id" not in frame:
        raise BadParam(
            _("The frame has no column {name}.").format(name="call_id"), hint=_("It is not one that el.map returned.")
        )
    store = services.store
    found: list[Result | None] = []
    known: dict[int, Result | None] = {}
    for call_id in frame["call_id"].astype("Int64").fillna(0).tolist():
        if call_id not in known:
            take = next(filter(None, (store.of_call(call_id, api) for api in apis)), None) if call_id else None
            known[call_id] = None if take is None else Result.from_take(take, base=store.base)
        found.append(known[call_id])
    return pd.Series(found, index=frame.index, dtype="object", name="result")


# -------------------------------------------------------------------- the whole of it


def plan_map(
    session: Buying, data: Any, spec: Spec, *, budget: int | None, max_price: int | None, concurrency: int
) -> Map:
    """A map over a frame or a Series, planned: nothing was sent but questions of price."""
    for name, value in (("budget", budget), ("max_price", max_price)):
        if value is not None and (type(value) is not int or value < 0):
            raise BadParam(_("{name}= is a whole number of Elumenta tokens.").format(name=name))
    if type(concurrency) is not int or not 1 <= concurrency <= MOST_AT_ONCE:
        raise BadParam(_("concurrency= is a whole number from 1 to {most}.").format(most=MOST_AT_ONCE))
    return Map(prepare(session, _as_frame(data), spec, budget=budget, concurrency=concurrency))


def _as_frame(data: Any) -> pd.DataFrame:
    import pandas as pd

    if isinstance(data, pd.Series):
        return data.to_frame(VALUE)
    if isinstance(data, pd.DataFrame):
        return data
    raise BadParam(
        _("A map takes a DataFrame or a Series, not {value}.").format(value=type(data).__name__),
        hint=_("Of a list: pd.Series(items); its template says {braces}.").format(braces="{{ value }}"),
    )


def consent(plan: Plan, *, budget: int | None, max_price: int | None, confirm_above: int) -> None:
    """Raises `PriceAboveMax` or `ConfirmPrice` with the plan; then nothing was sent."""
    facts = "\n".join(f"  {name}: {value}" for name, value in plan_facts(plan))
    if max_price is not None:
        if plan.price > max_price:
            raise PriceAboveMax(
                _("{plan}; the limit is {limit}. Nothing was sent.").format(
                    plan=plan_sentence(plan), limit=figure(max_price)
                )
                + f"\n{facts}",
                hint=_("To allow it: {option}").format(option=f"max_price={plan.price}"),
            )
        return
    if budget is None and confirm_above and plan.at_risk > confirm_above:
        raise ConfirmPrice(
            _("{plan}. Nothing was sent: above {limit} you are asked first.").format(
                plan=plan_sentence(plan), limit=figure(confirm_above)
            )
            + f"\n{facts}",
            hint=_("To say yes, add {option}; with a smaller number the map stops there.").format(
                option=f"budget={plan.price + plan.budget_used}"
            ),
        )


def run_map(
    made: Map, *, budget: int | None, concurrency: int, on_error: str, progress: bool, crew: Crew | None = None
) -> None:
    """Run a planned map to its end. Raises `KeyboardInterrupt` after saying what is kept, and with ``raise`` the first error.

    `crew` are a cluster's workers, where these see it through.
    """
    if on_error not in ("keep", "raise"):
        raise BadParam(_("on_error= is one of {names}.").format(names="keep, raise"))
    prepared = made._prepared  # noqa: SLF001 - one concern in a class and a function
    services, plan, sheet = prepared.services, prepared.plan, prepared.sheet
    work = plan.to_buy or plan.open or plan.paid
    if crew is not None and work:
        crew.begin()
    if budget is not None and services.api:
        set_map_budget(prepared, budget)
    prepared.restore()
    runner = made._runner = crew or prepared.runner(concurrency=concurrency, on_error=on_error)  # noqa: SLF001 - as above

    def run(show: Show) -> None:
        if not work:
            return
        if isinstance(runner, Runner):
            runtime.run(lambda _emit: runner.run(), show)
        else:
            runner.run(show)

    counted = sheet if crew is None else crew.board
    shown_run(runner, sheet, counted, run, progress=progress, sandbox=plan.sandbox)
    if on_error == "raise" and runner.error is not None:
        error: ElumentaError = runner.error
        error.hint = "\n".join(
            filter(None, [error.hint, _("What is done is in {frame}.").format(frame="el.last_map.frame")])
        )
        raise error


def set_map_budget(prepared: Prepared, budget: int) -> None:
    """What the map may spend, over all its runs, everywhere."""
    services, spec = prepared.services, prepared.rows.spec
    services.ledger.set_budget(
        budget,
        per="map",
        account=prepared.weighed.account,
        api=services.api,
        origin=replace(here(), map_id=prepared.plan.map_id),
        title=spec.title,
    )


class Stops(Running, Protocol):
    """What can be told to stop: a runner, or a cluster's workers."""

    stopped: str
    under_way: set[int]

    def stop(self, why: str, error: ElumentaError | None = None) -> None: ...


class Sums(Protocol):
    """What says how a map ended: its sheet, or the counts of a frame that is in no memory."""

    def leave(self, why: str, but: Collection[int] = ()) -> None: ...

    def tally(self) -> Tally: ...


def shown_run(
    runner: Stops, sheet: Sums, counted: Counted, run: Callable[[Show], None], *, progress: bool, sandbox: bool
) -> None:
    """Run with a line that moves and one that stays."""
    show = Show(counted, runner, quiet=not progress, sandbox=sandbox)
    began = time.monotonic()
    try:
        run(show)
    except BaseException:
        runner.stop(_("stopped by you"))
        raise
    finally:
        why = runner.stopped or _("there is no stored result, and only stored ones may be shown")
        sheet.leave(why, but=runner.under_way)
        show.close(end_line(sheet.tally(), took_s=time.monotonic() - began, stopped=runner.stopped))
