"""A shell whose cells raise what they raise, and a session that answers by the script of the test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from elumenta_nb import _values as v
from elumenta_nb._answers import Chat
from elumenta_nb._catalog import catalog
from elumenta_nb._errors import ElumentaError
from elumenta_nb._magics import ElumentaMagics
from elumenta_nb._result import Result


class Published(list[dict[str, Any]]):
    """What was shown, in order, as a front end would get it."""

    is_publishing = False  # the shell asks

    def publish(
        self, data: dict[str, Any], metadata: Any = None, *, transient: Any = None, update: bool = False, **_more: Any
    ) -> None:
        kind = "update" if update else "display"
        self.append({"kind": kind, "data": data, "slot": (transient or {}).get("display_id", "")})

    def clear_output(self, wait: bool = False) -> None:
        self.append({"kind": "clear", "data": {}, "slot": ""})

    @property
    def texts(self) -> list[str]:
        return [str(item["data"].get("text/plain", "")) for item in self if item["kind"] == "display"]


class TestingShell(InteractiveShell):
    """Raises instead of printing a traceback; keeps no history file."""

    __test__ = False

    def run(self, source: str, *, cell_id: str | None = None) -> Any:
        """Run a cell and return its value."""
        result = self.run_cell(source, store_history=True, cell_id=cell_id)
        result.raise_error()
        return result.result

    def showtraceback(self, *_args: Any, **_kwargs: Any) -> None:
        pass


class FakeSession:
    """Stands where a `Session` stands: resolves by the real table, answers by `answer`, remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[v.Ask, v.Origin]] = []
        self.tags: list[str] = []
        self.chats: dict[str, Chat] = {}
        self.limits = v.Limits(hour=100, hour_left=97)
        self.mode = "sandbox"
        self.events: list[v.Event] = []
        self.error: BaseException | None = None
        self.said: list[tuple[Any, ...]] = []

    def resolve(self, ask: v.Ask) -> Any:
        return catalog().resolve(ask.category, ask.model, ask.options, extra=ask.extra)

    def served_models(self) -> dict[str, Any]:
        return {}

    def price(self, ask: v.Ask) -> tuple[v.Quote, int]:
        model = self.resolve(ask).model
        return v.Quote(tokens=13, minimum=model.minimum, maximum=model.maximum), 13 * ask.count

    def run(self, ask: v.Ask, origin: v.Origin, view: Any = None) -> list[Result]:
        self.asked.append((ask, origin))
        resolved = self.resolve(ask)
        for event in self.events:
            view(event)
        if self.error is not None:
            raise self.error
        results = []
        for index in range(ask.count):
            receipt = v.Receipt(
                call_id=7 + index, model=resolved.model.slug, status="completed", tokens=13, quoted=13, latency_s=4.1
            )
            view(v.Settled(index=index, receipt=receipt))
            results.append(
                Result(
                    id=7 + index,
                    model=resolved.model.slug,
                    category=resolved.category.name,
                    text="an answer",
                    tokens=13,
                )
            )
        return results

    def balance(self) -> v.Balance:
        return v.Balance(tokens=270, plan="vip", plan_tokens=200, package_tokens=70)

    def login(self, key: str, *, keyring: bool = False) -> str:
        self.said.append(("login", key, keyring))
        return "a file"

    def sandbox(self, verb: str, *args: str) -> dict[str, Any]:
        self.said.append((verb, *args))
        return {"mode": "sandbox", "balance": 1500}


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def shell(session: FakeSession) -> Iterator[TestingShell]:
    InteractiveShell.clear_instance()
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.autocall = 0
    hook = sys.displayhook
    shell = TestingShell(config=config)
    shell.display_pub = Published()  # type: ignore[assignment]  # what a front end would receive
    magics = ElumentaMagics(shell, session=lambda: session)  # type: ignore[arg-type,return-value]  # a stand-in
    magics.attach()
    yield shell
    magics.detach()
    shell.history_manager.end_session()
    sys.displayhook = hook
    InteractiveShell.clear_instance()


@pytest.fixture
def shown(shell: TestingShell) -> Published:
    return shell.display_pub  # type: ignore[return-value]


@pytest.fixture
def run(shell: TestingShell) -> Callable[..., Any]:
    return shell.run


@pytest.fixture
def refused(shell: TestingShell) -> Callable[[str], ElumentaError]:
    """Run a cell that must fail with an error of ours; the error."""

    def run(source: str) -> ElumentaError:
        with pytest.raises(ElumentaError) as caught:
            shell.run(source)
        return caught.value

    return run


@pytest.fixture
def here() -> Path:
    return Path.cwd()
