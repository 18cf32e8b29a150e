"""What pages say of the code is so: modules that are named exist, a promise names the test or the page that shows it."""

from __future__ import annotations

import inspect
import re

import pytest
from doc_blocks import PAGES, ROOT

import elumenta_nb as el

PACKAGE = ROOT / "elumenta_nb"
MODULE = re.compile(r"(?<![\w/.])(_[a-z][a-z0-9_]*(?:[/.]_?[a-z][a-z0-9_]*)*(?:\.(?:py|toml))?)(?![\w(])")
SHOWN = re.compile(r"`((?:tests/)?[\w/]*test_\w+\.py)`|\]\((\w+\.md)\)")
CORE = {"_services", "_earlier", "_engine", "_generation", "_delivery", "_recovery", "_alike", "_client", "_ledger"}


def text_of(page: str) -> str:
    return PAGES[page].read_text(encoding="utf-8")


def modules_named(text: str) -> set[str]:
    """`_client/_http1`, `_batch._rows`, `_ledger/owners.py`, and the words of the picture of layers."""
    pieces = re.findall(r"`([^`\n]+)`", text) + re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    return {name for piece in pieces for name in MODULE.findall(piece) if len(name) > 2}


def is_there(name: str) -> bool:
    path = PACKAGE / name
    if path.suffix not in (".py", ".toml"):
        path = PACKAGE / name.replace(".", "/")
    inside = [place / path.name for place in PACKAGE.iterdir() if place.is_dir()] if path.parent == PACKAGE else []
    return any(place.exists() or place.with_suffix(".py").exists() for place in (path, *inside))


def test_every_module_that_the_architecture_names_exists():
    named = modules_named(text_of("docs/architecture.md"))

    assert {name for name in named if not is_there(name)} == set()
    assert named >= {*CORE, "_ledger/owners.py", "_batch._rows", "_client/_http1"}


@pytest.mark.parametrize("name", ["_nowhere", "_client/_nowhere.py", "_batch._nowhere", "_nowhere.toml"])
def test_a_module_that_is_gone_is_seen(name):
    assert modules_named(f"see `{name}`") == {name}
    assert not is_there(name)


def test_every_file_of_tests_that_a_page_names_exists():
    named = {(page, name) for page in PAGES for name in re.findall(r"`(tests/[\w/]+\.?\w*)`", text_of(page))}

    assert len(named) > 20
    assert {(page, name) for page, name in named if not (ROOT / name).exists()} == set()


def test_every_promise_of_the_security_page_names_what_shows_it():
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", text_of("docs/security.md"), re.MULTILINE)
    promises = [(said, shown) for said, shown in rows if said not in ("---", "Promise")]

    assert len(promises) > 15
    assert [said for said, shown in promises if not SHOWN.search(shown)] == []
    pages = {found[1] for _said, shown in promises for found in SHOWN.findall(shown) if found[1]}
    assert {page for page in pages if f"docs/{page}" not in PAGES} == set()


def test_every_module_of_a_call_is_in_the_picture_of_the_layers():
    [picture] = re.findall(r"```text\n(.*?)```", text_of("docs/architecture.md"), re.DOTALL)

    assert {name for name in CORE if name not in picture} == set()
    assert max(map(len, picture.splitlines())) <= 76, "wider is cut off on the site"


@pytest.mark.parametrize(
    "name", ["account_history", "balance", "generate", "me", "models", "plans", "quote", "reconcile", "stats"]
)
def test_what_tells_facts_of_the_service_names_their_source_or_what_it_asks(name):
    told = inspect.getdoc(getattr(el, name))

    assert re.search(r"docs\.elumenta\.ru/en/\w|what the server says", told)
    assert "…/" not in told


@pytest.mark.parametrize(
    "name", ["tokens", "paid", "quoted", "balance_after", "latency", "path", "paths", "url", "generation_id", "raw"]
)
def test_a_result_says_what_its_figures_are(name):
    assert f"`{name}`" in inspect.getdoc(el.Result)


def test_a_key_alone_does_not_leave_a_sandbox_of_the_environment_but_putting_it_off_does(monkeypatch, tmp_path):
    """As README and index say of `make lab`."""
    monkeypatch.setenv("ELUMENTA_MODE", "sandbox")
    session = el.Session(home=tmp_path)

    session.login("nb_" + "a1B2" * 11)
    assert session.mode == "sandbox"

    session.sandbox("off")
    assert session.mode == "live"
    session.close()
