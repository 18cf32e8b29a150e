"""Buying: from what a person asks for to checked calls, and from what the engine brings to results.

Everything that can be found wrong without money is found here.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from math import inf
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from ._answers import Chat, asked_for
from ._catalog import Model, Resolved, catalog
from ._errors import BadParam, BadReply, ElumentaError, UnknownModel
from ._inputs import read_inputs
from ._keys import hidden, key_in_prompt
from ._language import gettext as _, tokens as _tokens
from ._order import Order
from ._result import Result, parse_json
from ._values import Ask, Call, Input, Message, Origin, Quote, Reuse
from ._wiring import Wiring, runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._engine import Engine
    from ._runtime import Handle, View
    from ._values import Event

__all__ = ["KERNEL", "Buying", "check_characters", "partly", "with_inputs"]

KERNEL: Final = uuid.uuid4().hex[:12]  # one per process: the budget `per="kernel"`
MODELS_FRESH_S: Final = 600
MAX_COUNT: Final = 100


class Buying(Wiring):
    """The part of a session that buys."""

    def __init__(self, **settings: Any) -> None:
        settings = hidden(settings)
        super().__init__(**settings)
        self._served: dict[str, Model] = {}
        self._served_at: float | None = None
        self.chats: dict[str, Chat] = {}
        self.tags: list[str] = []

    def close(self) -> None:
        super().close()
        self._served.clear()
        self._served_at = None

    def resolve(self, ask: Ask) -> Resolved:
        """Check model and parameters, asking the server only about a slug the table does not know."""
        try:
            return self._resolved(ask, {})
        except UnknownModel:
            served = self.served_models()
            if ask.model in served:
                return self._resolved(ask, served)
            if served or not ask.category or ask.model is None or catalog().older.get(ask.model):
                raise
            row = catalog().category(ask.category)
            if row is None:
                raise
            stranger = Model(slug=ask.model, category=row.name, minimum=0, maximum=0, in_table=False)
            return self._resolved(ask, {ask.model: stranger})  # the server lists nothing: it decides

    @staticmethod
    def _resolved(ask: Ask, served: dict[str, Model]) -> Resolved:
        return catalog().resolve(ask.category, ask.model, ask.options, extra=ask.extra, served=served)

    def served_models(self) -> dict[str, Model]:
        """What ``GET /models`` lists, by slug, asked for at most every ten minutes; empty when it does not answer."""
        now = time.monotonic()
        if self._served_at is None or now - self._served_at > MODELS_FRESH_S:
            try:
                told = runtime.call(self.services().client.models)
            except ElumentaError:
                told = []
            self._served = {model.slug: model for model in told}
            self._served_at = now
        return self._served

    def orders(self, ask: Ask, origin: Origin) -> list[Order]:
        """The checked calls of an ask, one for each of `count`. Raises what is wrong with it; nothing is sent."""
        if not _is_count(ask.count) or ask.count > MAX_COUNT:
            raise BadParam(_("--count is a whole number from 1 to {most}.").format(most=MAX_COUNT))
        most = ask.max_price
        if most is not None and (isinstance(most, bool) or not isinstance(most, Real) or not 0 <= most < inf):
            raise BadParam(_("--max-price is a whole number of Elumenta tokens."))
        resolved = self.resolve(ask)
        params, inputs = read_inputs(resolved, ask.input, is_live=lambda: self._settings.where() == "live")
        resolved = with_inputs(replace(resolved, params=params), inputs)
        params = asked_for(params, resolved, ask.shape)
        prompt = self._prompt(ask, resolved, origin)
        check_characters(prompt, params, *self.tags, *origin.tags)
        self._refuse_key(f"{prompt} {params}")
        origin = replace(origin, kernel=KERNEL, tags=tuple(dict.fromkeys((*self.tags, *origin.tags))))
        call = Call(
            category=resolved.category.name,
            model=resolved.model.slug,
            prompt=prompt,
            params=params,
            messages=self._turns(ask, origin),
            inputs=inputs,
            stream=ask.stream and resolved.category.ask == "stream",
            reuse=self.policy(ask, origin),
            fresh=ask.fresh,
            origin=origin,
        )
        return [Order.of_call(call, resolved, index) for index in range(ask.count)]

    def _refuse_key(self, text: str) -> None:
        key = self._settings.api_key
        if key is not None and key() in text:
            raise key_in_prompt()

    @staticmethod
    def _prompt(ask: Ask, resolved: Resolved, origin: Origin) -> str:
        prompt = ask.prompt or ""
        if not isinstance(prompt, str):
            raise BadParam(_("The prompt is text, not {kind}.").format(kind=type(prompt).__name__))
        if resolved.prompt == "required" and not prompt.strip():
            raise BadParam(
                _("{model} needs a prompt, and it is empty.").format(model=resolved.model.slug),
                hint=_("Write it in the lines below the first one of the cell.")
                if origin.source == "magic"
                else _("Give it beside the model: {line}").format(line=f'el.generate("{resolved.model.slug}", "…")')
                if origin.source == "python"
                else "",
            )
        if resolved.prompt == "none" and prompt.strip():
            raise BadParam(_("{model} takes no prompt.").format(model=resolved.model.slug))
        return prompt

    def _turns(self, ask: Ask, origin: Origin) -> tuple[Message, ...]:
        if ask.chat is None:
            return ()
        return self.chat(ask.chat).before(origin.cell_id or origin.source_hash, origin.run)

    def chat(self, name: str) -> Chat:
        return self.chats.setdefault(name, Chat(name))

    def policy(self, ask: Ask, origin: Origin) -> Reuse:
        """What may come from the store. The setting `only` is a promise that nothing is sent: no cell overrides it."""
        if self._settings.reuse == "only":
            return "only"
        if ask.reuse is not None:
            if ask.reuse not in get_args(Reuse):
                raise BadParam(_("reuse is one of {names}.").format(names=", ".join(get_args(Reuse))))
            return ask.reuse
        if self._settings.reuse is not None:
            return self._settings.reuse
        return "all" if origin.source == "magic" else "off"

    # ------------------------------------------------------------ buying

    def run(self, ask: Ask, origin: Origin, view: View | None = None) -> list[Result]:
        """Buy what was asked for and wait. Raises typed errors; after a partial success they carry `.results`.

        An interrupt raises `KeyboardInterrupt` within a second, after the view was told what may still be charged.
        """
        orders = self.orders(ask, origin)
        engine = self._ready(orders, ask)

        async def execute(emit: Callable[[Event], None]) -> list[Result | ElumentaError]:
            return await engine.execute(
                orders, max_price=ask.max_price, confirm_above=self._settings.confirm_above, emit=emit
            )

        return self._finish(ask, orders, runtime.run(execute, view))

    def start(self, ask: Ask, origin: Origin) -> Handle[list[Result]]:
        """As `run`, in the background: returns at once, with what can be checked without money already checked."""
        orders = self.orders(ask, origin)
        engine = self._ready(orders, ask)

        async def execute(emit: Callable[[Event], None]) -> list[Result]:
            bought = await engine.execute(
                orders, max_price=ask.max_price, confirm_above=self._settings.confirm_above, emit=emit
            )
            return self._finish(ask, orders, bought)

        return runtime.submit(execute)

    def _ready(self, orders: Sequence[Order], ask: Ask) -> Engine:
        """Wire up, and check what would be a pity to find out after paying."""
        services = self.services()
        save = Path(ask.save).expanduser() if ask.save else None
        if save is not None and len(orders) > 1:
            raise BadParam(_("--save takes one result, and --count makes {n}.").format(n=len(orders)))
        if orders[0].call.reuse != "only":
            services.store.check(save)
        assert self._engine is not None
        return self._engine

    def _finish(self, ask: Ask, orders: Sequence[Order], bought: Sequence[Result | ElumentaError]) -> list[Result]:
        results = [item for item in bought if isinstance(item, Result)]
        errors = [item for item in bought if isinstance(item, ElumentaError)]
        call = orders[0].call
        for index, result in enumerate(results):
            try:
                results[index] = self._shaped(result, ask)
            except BadReply as error:
                errors.append(error)
        if ask.chat is not None and results and not errors:
            place = call.origin.cell_id or call.origin.source_hash
            self.chat(ask.chat).add(place, call.prompt, results[0].text or "", call.origin.run)
        if ask.save and results:
            try:
                results[0].save(Path(ask.save).expanduser())
            except BadParam as error:  # it was writable when it was checked, and is not any more
                if results[0].tokens:
                    error.spent, error.tokens = "yes", results[0].tokens
                error.call_id = results[0].id
                errors.append(error)
        if errors:
            raise partly(errors[0], results, len(orders))
        return results

    @staticmethod
    def _shaped(result: Result, ask: Ask) -> Result:
        """The result as it is to be read. Raises `BadReply` for JSON that is none; the text is in the result."""
        shape = ask.shape or result.shape
        result = replace(result, shape=shape, viewer="embed" if ask.embed else result.viewer)
        if shape == "json" and result.text is not None:
            try:
                parse_json(result.text)
            except ValueError as why:
                error = BadReply(
                    _("The answer is not JSON ({why}); its text is kept.").format(why=why),
                    hint=_("Read .text of the result. Running the cell again with --fresh buys another answer."),
                    spent="yes",
                    tokens=result.tokens,
                    call_id=result.id,
                )
                error.results = [result]
                raise error from None
        return result

    def price(self, ask: Ask) -> tuple[Quote, int]:
        """The price of one generation, and of all `count` of them, in Elumenta tokens. Sends no generation.

        Raises `BadParam`, as for a count that is no whole number of at least 1.
        """
        quote, _held = self._priced(ask)
        return quote, quote.tokens * ask.count

    def due(self, ask: Ask) -> tuple[Quote, int]:
        """As `price`, but the total is what needs consent: never less than such a call was charged before."""
        quote, held = self._priced(ask)
        return quote, held * ask.count

    def _priced(self, ask: Ask) -> tuple[Quote, int]:
        if not _is_count(ask.count):
            raise BadParam(_("--count is a whole number of at least 1."))
        resolved = self.resolve(ask)
        _params, inputs = read_inputs(resolved, ask.input, lenient=True)
        resolved = with_inputs(resolved, inputs)
        if self._settings.where() == "only":  # nobody is asked: the table's figure
            model = resolved.model
            quote = Quote(tokens=model.maximum, minimum=model.minimum, maximum=model.maximum, exact=False)
            return quote, quote.tokens
        services = self.services()
        quote = runtime.call(lambda: services.prices.quote(resolved))
        return quote, services.prices.held(resolved, quote)


def _is_count(count: Any) -> bool:
    return not isinstance(count, bool) and isinstance(count, Integral) and int(count) >= 1


def check_characters(*given: Any) -> None:
    """Half a character (of a file that was read with `surrogateescape`) can be neither sent nor booked. Raises `BadParam`."""
    try:
        json.dumps(given, ensure_ascii=False, default=str, skipkeys=True).encode()
    except UnicodeEncodeError as error:
        raise BadParam(_("The call cannot be written as JSON: {why}.").format(why=error)) from None


def with_inputs(resolved: Resolved, inputs: tuple[Input, ...]) -> Resolved:
    """With the inputs whose length or size moves the price, as calculate-price takes them."""
    priced = {param.name for param in resolved.own if param.prices and param.type == "input"}
    urls = {item.param: item.url for item in inputs if item.param in priced}
    return replace(resolved, params={**resolved.params, **urls}) if urls else resolved


def partly(error: ElumentaError, results: list[Result], count: int) -> ElumentaError:
    """The error of a cell of several calls says what was done and what it cost."""
    error.results = list(results) or error.results
    if count > 1:
        spent = sum(result.tokens for result in results)
        note = _("{done} of {count} done, {tokens} spent.").format(
            done=len(results), count=count, tokens=_tokens(spent)
        )
        error.args = (f"{note} {error.args[0] if error.args else ''}",)
        if spent and error.spent == "no":
            error.spent, error.tokens = "yes", spent
    return error
