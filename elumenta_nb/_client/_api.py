"""The Elumenta API over HTTP: one object per account and address, used from one event loop.

It sends on httpx transports directly: nothing between us and the wire can follow a redirect, keep a cookie, read a
`.netrc` or repeat a request on its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import urlencode, urljoin

import httpx

from elumenta_nb import _wire as wire
from elumenta_nb._catalog import catalog
from elumenta_nb._errors import BadReply, ElumentaError, NotFound, RateLimited, Rejected
from elumenta_nb._language import gettext as _

from ._answer import MAX_BODY, read_answer
from ._download import Downloads
from ._line import Line
from ._policy import Setback, judge, judge_loss, pause, unreadable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from elumenta_nb._catalog import Model
    from elumenta_nb._values import Balance, Call, Download, History, Limits, Profile, Quote, Reply

    from ._answer import Watch
    from ._exchange import Exchange
    from ._routes import TransportFactory

__all__ = ["Client"]

PAID_S: Final = 600.0  # for a generation to be answered
PIECE_S: Final = 120.0  # between two pieces of a stream
PAGE_S: Final = 5.0  # for one question that is only to make sure
FREE_S: Final = 30.0  # for everything else
_SLOWEST: Final = 2.0  # an answer may take this many times as long in all as between two of its bytes
_OTHER_PLACE: Final = frozenset({400, 404, 405, 422})  # of a GET: this path does not know the id, another may (R9)
_MODEL_PAGES: Final = 20


class Client:
    """The API at `base_url`, for the account of `key`. `request_form` is R1 of api.md section 13.

    `transport_factory` makes the transports (see `_routes`); `clock` is Unix time; `sleep` waits before another try.
    Every method raises the typed errors of `_errors`, whose `spent` says whether the call may be charged.
    """

    def __init__(
        self,
        *,
        base_url: str,
        key: Callable[[], str],
        request_form: wire.RequestForm = "params",
        transport_factory: TransportFactory | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._line = Line(base_url, key, transport_factory, clock)
        self._form: wire.RequestForm = request_form
        self._clock = clock
        self._sleep = sleep
        self._downloads = Downloads(local=self._line.is_local, factory=transport_factory, sleep=sleep)
        self._prompt_field: dict[str, str] = {}  # by category: the name the server is known to take (R5)
        self._no_stream_path = False  # R7
        self._second_first: set[str] = set()  # what was found at the second of its places (R9, R10)

    def __repr__(self) -> str:
        return f"Client({self._line.base_url!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Client holds a key and connections: it cannot be pickled or copied")

    @property
    def limits(self) -> Limits:
        """What the rate-limit headers said last."""
        return self._line.limits

    @property
    def skew_s(self) -> float:
        """The server's clock minus ours, to about half a second."""
        return self._line.skew_s

    # ------------------------------------------------------------ paid

    async def create(self, call: Call, watch: Watch, *, waits_for_limits: bool = True) -> Reply:
        """Buy one generation. The reply may be completed, pending or failed; look at its `status`.

        Without `waits_for_limits` a 429 is raised at once: who makes many calls waits once for all of them.

        Sent once; sent again only where nothing can have been charged. Raises with ``spent="no"`` what is final and not
        charged, with ``"maybe"`` what has to be looked up; a stream's error has `partial` and `generation_id`.
        """
        row = catalog().category(call.category)
        fields = wire.prompt_fields(row, self._form)
        known = self._prompt_field.get(call.category)
        refused: Rejected | None = None
        for field in [known] if known else fields:
            try:
                reply = await self._create(call, watch, field, waits_for_limits)
            except Rejected as error:
                if error.status != 422 or refused is not None or len(fields) == 1:
                    refused = _more_telling(refused, error, field)
                    break
                refused = error
            else:
                self._prompt_field[call.category] = field
                return reply
        assert refused is not None
        raise refused

    async def _create(self, call: Call, watch: Watch, field: str, waits: bool) -> Reply:  # noqa: FBT001 - as `create` was told
        """One way of asking after the other; 404 and 405 say that nothing was done, so the next may be tried (R7)."""
        ways = wire.creations(call, self._form, prompt_field=field)
        if self._no_stream_path:
            ways = ways[-1:]
        for way in ways[:-1]:
            try:
                return await self._buy(way, watch, waits)
            except (NotFound, Rejected) as error:
                if error.status not in (404, 405):
                    raise
        reply = await self._buy(ways[-1], watch, waits)
        self._no_stream_path = self._no_stream_path or len(ways) > 1
        return reply

    async def _buy(self, request: wire.Request, watch: Watch, waits: bool) -> Reply:  # noqa: FBT001 - as above
        sends = 0
        while True:
            sends += 1
            outcome = await self._send_paid(request, watch)
            if not isinstance(outcome, Setback):
                return await self._with_result(outcome, watch, streamed=request.stream)
            if not waits and isinstance(outcome.error, RateLimited):
                raise outcome.error
            await self._again(sends, outcome, watch.retrying)

    async def _with_result(self, reply: Reply, watch: Watch, *, streamed: bool) -> Reply:
        """A completed reply that tells no result that can be read: the generation's page may have it."""
        if reply.status != "completed" or reply.text or reply.url is not None or reply.id is None:
            return reply
        with contextlib.suppress(ElumentaError, TimeoutError):
            async with asyncio.timeout(PAGE_S):
                told = await self.poll(reply.id)
            if streamed and told.text:
                watch.delta(told.text)
            return replace(reply, text=told.text or reply.text, url=told.url)
        return reply

    async def _without_gap(self, reply: Reply) -> Reply:
        """A stream of which an event could not be read: the generation's page may have the whole text."""
        if reply.id is not None:
            with contextlib.suppress(ElumentaError, TimeoutError):
                async with asyncio.timeout(PAGE_S):
                    told = await self.poll(reply.id)
                if told.text and len(told.text) > len(reply.text or ""):
                    return replace(reply, text=told.text)
        return reply

    async def _send_paid(self, request: wire.Request, watch: Watch) -> Reply | Setback:
        read_s = PIECE_S if request.stream else PAID_S
        with contextlib.ExitStack() as files:
            exchange = self._line.exchange(request, read_s=read_s, on_sent=watch.sent, files=files)
            try:
                if not await exchange.open(within_s=read_s * _SLOWEST):
                    assert exchange.loss is not None
                    return judge_loss(exchange.loss, paid=True)
                self._line.note(exchange)
                if 200 <= exchange.status < 300:
                    outcome = await read_answer(
                        exchange,
                        watch,
                        streamed=request.stream,
                        within_s=PAID_S * _SLOWEST,
                        hide=self._line.hide,
                        veil=self._line.veil(),
                    )
                    if isinstance(outcome, Setback):
                        return outcome
                    return self._placed(await self._without_gap(outcome) if exchange.has_gap else outcome)
                return await self._refusal(exchange, paid=True)
            finally:
                await exchange.close()

    # ------------------------------------------------------------ free

    async def poll(self, generation_id: int | str) -> Reply:
        """How a generation is doing, by its id. Its errors say ``spent="maybe"``: the job does not depend on this."""
        try:
            told = wire.read_reply(await self._first_of("status", wire.status_paths(generation_id), _OTHER_PLACE))
            reply = wire.understood(replace(told, id=generation_id))
            if reply is None or not (told.status or wire.understood(told)):
                _nothing_in(_("a generation"))
        except ElumentaError as error:
            error.spent = "maybe"
            error.generation_id = generation_id
            raise
        return self._placed(reply)

    async def quote(self, model: str, params: Mapping[str, Any], count: int = 1) -> Quote:
        """The server's price. Raises `BadReply` where it tells no figure."""
        quote = wire.read_quote(await self._ask(wire.price(model, params, count)))
        return quote if quote is not None else _nothing_in(_("a price"))

    async def balance(self) -> Balance:
        """The account's tokens. Raises `BadReply` where the server tells no figure."""
        balance = wire.read_balance(await self._first_of("balance", wire.balance_paths(), frozenset({404, 405})))
        return balance if balance is not None else _nothing_in(_("a balance"))

    async def profile(self) -> Profile:
        """Who the key belongs to; every field is optional."""
        return wire.read_profile(await self._get("/user/me"))

    async def stats(self) -> dict[str, Any]:
        """The account's totals since its creation, by group."""
        return wire.read_stats(await self._get("/user/stats"))

    async def models(self) -> list[Model]:
        """All models the server lists; a list in pages is read to its end."""
        found: dict[str, Model] = {}
        for page in range(1, _MODEL_PAGES + 1):
            obj = await self._get("/models" if page == 1 else f"/models?page={page}")
            before = len(found)
            found.update({model.slug: model for model in wire.read_models(obj)})
            total = obj.get("total") if isinstance(obj, dict) else None
            if not isinstance(total, int) or len(found) >= total or len(found) == before:
                break
        return list(found.values())

    async def model(self, slug: str) -> Model:
        """One model. Raises `NotFound`."""
        found = wire.read_models(await self._get(f"/models/{wire.step(slug)}"))
        return found[0] if found else _nothing_in(_("a model"))

    async def history(
        self,
        *,
        page: int = 1,
        limit: int = 100,
        category: str | None = None,
        model: str | None = None,
        status: str | None = None,
    ) -> History:
        """A page of past generations. The filters are applied here as well, for the server may not know them (R11).

        With a `model` the `category` is left out: the model decides, and the names of groups disagree (R13). A paid
        generation must not be missed because it is filed under another name. Raises `BadReply` where there is no list.
        """
        row = catalog().category(category) if category and not model else None
        group = None if model or (row is not None and len(row.wire) > 1) else category
        filters = {"category": row.wire[0] if row and group else group, "model_slug": model, "status": status}
        given = {name: value for name, value in filters.items() if value is not None}
        paging = {"page": page, "limit": limit}
        try:
            told = await self._get("/user/history?" + urlencode({**paging, **given}))
        except Rejected as error:
            if not given or error.status not in (400, 422):
                raise
            told = None
        if told is None:  # the server does not take the filters
            told = await self._get("/user/history?" + urlencode(paging))
        found = wire.read_history(told, page=page, limit=limit)
        if found is None:  # a page about maintenance shows no generation, but says of none that it is not there
            _nothing_in(_("a list of generations"))
        named = (replace(item, model=model) if model and _is(item.model, model) else item for item in found.items)
        fitting = (item for item in named if _fits(item, None if model else category, model, status))
        items = tuple(self._placed(item) for item in fitting)
        return replace(found, items=items)

    async def download(
        self,
        url: str,
        target: Path,
        *,
        max_bytes: int,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Download:
        """Fetch a result's file to `target`, without the key. Raises `DownloadFailed`, and then leaves no file."""
        return await self._downloads.fetch(url, target, max_bytes=max_bytes, progress=progress)

    async def aclose(self) -> None:
        """Close the connections; the client makes new ones when it is used again."""
        await self._line.aclose()
        await self._downloads.aclose()

    # ------------------------------------------------------------ the way there

    def _placed(self, reply: Reply) -> Reply:
        """The reply with addresses that can be asked for: `/files/1.png` is at the API's host. The key never goes there."""
        url, thumbnail_url = (self._address(told) for told in (reply.url, reply.thumbnail_url))
        if (url, thumbnail_url) == (reply.url, reply.thumbnail_url):
            return reply
        return replace(reply, url=url, thumbnail_url=thumbnail_url)

    def _address(self, told: str | None) -> str | None:
        if told is None or not told.startswith("/"):
            return told
        try:
            return urljoin(self._line.base_url, told)
        except ValueError:
            return told

    async def _get(self, path: str) -> Any:
        return await self._ask(wire.Request(method="GET", path=path))

    async def _first_of(self, what: str, paths: Sequence[str], elsewhere: frozenset[int]) -> Any:
        """The answer of the first place that knows it; the place is remembered."""
        order = list(paths[::-1] if what in self._second_first else paths)
        refused: ElumentaError | None = None
        for path in order:
            try:
                answer = await self._get(path)
            except (NotFound, Rejected) as error:
                if error.status not in elsewhere:
                    raise
                refused = refused or error
            else:
                if path != paths[0]:
                    self._second_first.add(what)
                return answer
        assert refused is not None
        raise refused

    async def _ask(self, request: wire.Request) -> Any:
        """The JSON answer of a request that costs nothing, tried a few times."""
        sends = 0
        while True:
            sends += 1
            outcome = await self._send_free(request)
            if not isinstance(outcome, Setback):
                return outcome.value
            await self._again(sends, outcome, None)

    async def _send_free(self, request: wire.Request) -> wire.Parsed | Setback:
        exchange = self._line.exchange(request, read_s=FREE_S)
        try:
            if not await exchange.open(within_s=FREE_S * _SLOWEST):
                assert exchange.loss is not None
                return judge_loss(exchange.loss, paid=False)
            self._line.note(exchange)
            if not 200 <= exchange.status < 300:
                return await self._refusal(exchange, paid=False)
            body = self._line.hide(await exchange.read(at_most=MAX_BODY, within_s=FREE_S * _SLOWEST))
        finally:
            await exchange.close()
        parsed = wire.read_json(body)
        if parsed.whole:
            return parsed
        if exchange.loss is not None:
            return judge_loss(exchange.loss, paid=False)
        return unreadable(exchange.status, wire.read_error(exchange.status, body, exchange.headers), paid=False)

    async def _refusal(self, exchange: Exchange, *, paid: bool) -> Setback:
        body = self._line.hide(await exchange.read(at_most=MAX_BODY, within_s=FREE_S * _SLOWEST))
        if exchange.loss is not None:  # half a body documents nothing
            body = b"" if not wire.read_json(body).whole else body
        said = wire.read_error(exchange.status, body, exchange.headers)
        location = _host_of(exchange.headers.get("location", ""))
        return judge(exchange.status, said, paid=paid, now=self._clock(), location=location)

    async def _again(self, sends: int, setback: Setback, tell: Callable[[str, float], None] | None) -> None:
        """Wait before the next send, or raise."""
        wait_s = pause(sends, setback, random.random())  # noqa: S311 - spreads clients out, keeps no secret
        if wait_s is None:
            raise setback.error
        if tell is not None:
            tell(setback.reason, wait_s)
        await self._sleep(wait_s)


def _host_of(location: str) -> str:
    try:
        return httpx.URL(location).host
    except (httpx.InvalidURL, ValueError, TypeError):
        return ""


def _is(told: str, model: str) -> bool:
    """Whether a model goes by this name in a history: its slug in any case, or the name that people read."""
    known = catalog().models.get(model)
    names = {model.casefold(), known.name.casefold() if known and known.name else model}
    return not names.isdisjoint({told.casefold(), told.casefold().replace(" ", "-")})


def _fits(item: Reply, category: str | None, model: str | None, status: str | None) -> bool:
    """Whether an item of history passes the filters; what it does not tell is not held against it."""
    if (model and item.model and item.model != model) or (status and item.status and item.status != status):
        return False
    if not category or not item.category:
        return True
    row = catalog().category(category)
    home = catalog().of_wire(item.category, item.model)
    return item.category == category or (row is not None and (item.category in row.wire or home is row))


def _more_telling(first: Rejected | None, second: Rejected, field: str) -> Rejected:
    """Of two refusals for two names of the prompt's field, the one that is not only about the name."""
    if first is None:
        return second
    return second if field in f"{first} {first.details}" else first


def _nothing_in(what: str) -> NoReturn:
    text = _("The server's answer does not hold {what}.").format(what=what)
    raise BadReply(text, hint=_("Try again later. What answers there: %elumenta doctor"), spent="no")
