"""The package as a type checker sees it from outside. Never run: `test_typing.py` has mypy read it.

A line that must be refused carries ``# type: ignore[code]``; were it accepted, mypy would call the ignore unused.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_type

import pandas as pd

import elumenta_nb as el

result = el.generate("gpt-5", "Hello", max_price=2, tag="greeting", temperature=0.2)
assert_type(result, el.Result)
assert_type(result.text, str | None)
assert_type(result.path, Path | None)
assert_type(result.paths, list[Path])
assert_type(result.tokens, int)
assert_type(result.reused, bool)
assert_type(result.generation_id, int | str | None)
assert_type(str(result), str)

assert_type(el.generate_many("photon", "A door", 3), list[el.Result])

pending = el.submit("sora-2", "A door opens", duration=4, max_price=50)
assert_type(pending, el.Pending)
assert_type(pending.result(timeout=60.0), el.Result)
assert_type(pending.done(), bool)
pending.stop()


async def in_async_code() -> el.Result:
    assert_type(await el.agenerate("gpt-5", "Hello"), el.Result)
    return await el.submit("gpt-5", "Hello")


stream = el.stream("gpt-5", "Hello")
assert_type(iter(stream), Iterator[str])
assert_type(stream.result, el.Result)

quote = el.quote("dall-e-3", count=2, size="1792x1024")
assert_type(quote.tokens + quote.minimum + quote.maximum, int)
assert_type(quote.pricing_type, str)
assert_type(el.balance().tokens, int)
assert_type(el.balance().plan, str)

assert_type(el.spend(by="model", since="2026-11-01"), pd.DataFrame)
assert_type(el.plans(2400), pd.DataFrame)
assert_type(el.models(), pd.DataFrame)
assert_type(el.price_notebook("report.ipynb"), pd.DataFrame)
assert_type(el.panel("image", model="dall-e-3").source, str)
assert_type(el.panel().results, list[el.Result])
assert_type(el.reconcile(elsewhere=True), pd.DataFrame)
assert_type(el.resume(), list[el.Result])
el.budget(200, per="day", tag="reviews")

try:
    el.generate("veo-3.1", "The sea")
except el.BudgetExceeded as error:
    assert_type(error.limit, int)
except el.RateLimited as error:
    assert_type(error.retry_after, float | None)
except el.ElumentaError as error:
    assert_type(error.hint, str)
    if error.spent == "maybe":
        el.reconcile()

with el.sandbox.serve(port=0) as server:
    assert_type(server.url, str)
    assert_type(server.api_key, str)

own = el.Session(api_key="nb_0000000000000000", base_url="https://elumenta.ru/api/v2")
assert_type(own.balance().tokens, int)
assert_type(el.session(), el.Session)

extra: dict[str, Any] = {"anything": 1}
el.generate("a-model-of-tomorrow", "Hello", category="text", params=extra)

# what must be refused
el.generate()  # type: ignore[call-arg]
el.generate("gpt-5", "Hello", max_price="2")  # type: ignore[arg-type]
el.generate("gpt-5", "Hello", reuse="sometimes")  # type: ignore[arg-type]
el.generate_many("photon", "A door", "3")  # type: ignore[arg-type]
result.tokens = 0  # type: ignore[misc]
