"""The script that collects the sentences, and a shell whose cells run in a real sandbox of their own."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from elumenta_nb._magics import ElumentaMagics

ROOT = Path(__file__).parents[2]


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def messages() -> ModuleType:
    return _script("messages")


@pytest.fixture(scope="session")
def tables() -> ModuleType:
    return _script("tables")


@pytest.fixture(scope="session")
def sentences(messages: ModuleType) -> Any:
    """Every sentence of the sources as they are now."""
    return messages.extracted()


@pytest.fixture(scope="session")
def russian(messages: ModuleType) -> Any:
    """The Russian catalogue as it is in its file."""
    return messages.translated("ru")


class Published(list[dict[str, Any]]):
    """What was shown, in order."""

    is_publishing = False  # the shell asks

    def publish(self, data: dict[str, Any], metadata: Any = None, *, update: bool = False, **_more: Any) -> None:
        self.append(data)

    def clear_output(self, wait: bool = False) -> None:
        pass

    @property
    def texts(self) -> list[str]:
        return [str(data.get("text/plain", "")) for data in self]


class RaisingShell(InteractiveShell):
    def showtraceback(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def value(self, source: str) -> Any:
        """Run a cell and return its value; raises what it raises."""
        result = self.run_cell(source, store_history=True)
        result.raise_error()
        return result.result


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[RaisingShell]:
    """A shell with the magic, in the sandbox."""
    monkeypatch.setenv("ELUMENTA_MODE", "sandbox")
    InteractiveShell.clear_instance()
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    hook = sys.displayhook
    shell = RaisingShell(config=config)
    shell.display_pub = Published()  # type: ignore[assignment]  # what a front end would receive
    magics = ElumentaMagics(shell)
    magics.attach()
    yield shell
    magics.detach()
    shell.history_manager.end_session()
    sys.displayhook = hook
    InteractiveShell.clear_instance()


@pytest.fixture
def run(shell: RaisingShell) -> Callable[[str], Any]:
    return shell.value


@pytest.fixture
def shown(shell: RaisingShell) -> Published:
    return shell.display_pub  # type: ignore[return-value]  # put there above
