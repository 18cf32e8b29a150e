"""Paid, and never brought home: a download failed, a kernel died in between. The cell run again fetches, never buys."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import elumenta_nb as el
from elumenta_nb._render import receipt_line
from elumenta_nb._values import Origin

FILE: dict[str, Any] = {"path": "*storage*", "method": "GET", "times": 1000}
runs = itertools.count()


def cell(name: str = "c1", source: str = "s1", run: str = "") -> Origin:
    """A run of a cell."""
    return Origin(source="magic", cell_id=name, source_hash=source, notebook="n@1", run=run or f"r{next(runs)}")


def pay(world: Any, origin: Origin | None = None, **ask: Any) -> int:
    """A picture that is paid and cannot be fetched; the row's number."""
    world.server.fault("status", code=404, **FILE)
    with pytest.raises(el.DownloadFailed) as caught:
        world.buy("photon-flash", origin=origin or cell(), **ask)
    world.server.faults.clear()
    assert caught.value.call_id is not None
    return caught.value.call_id


@pytest.mark.parametrize("new_kernel", [False, True])
def test_a_cell_run_again_after_its_download_failed_fetches_it_for_nothing(world, new_kernel):
    call_id = pay(world)
    if new_kernel:
        world.session = world.new_session()

    (result,) = world.buy("photon-flash", origin=cell())
    (again,) = world.buy("photon-flash", origin=cell())

    assert result.path.stat().st_size > 0
    assert again.path == result.path
    assert (result.tokens, result.reused, result.receipt.paid_before) == (0, True, 1)
    assert "0 tokens (1 paid on" in receipt_line(result.receipt)
    assert "fetched now" in receipt_line(result.receipt)
    assert "fetched now" not in receipt_line(again.receipt)
    assert world.posts() == 1
    assert world.charged == world.booked == 1
    rows = world.session.spend(columns="all").set_index("id")
    assert rows.loc[result.id, "restored_from"] == call_id
    assert world.session.ledger().check() == []


@pytest.mark.parametrize(
    "page",
    [
        "<!doctype html><title>Sign in</title><p>to see this",
        '{"error": {"code": "forbidden"}}',
        '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        "Access denied",
    ],
)
def test_a_page_that_comes_in_place_of_the_file_is_not_the_result(world, page):
    world.server.fault("garbage", body=page, **FILE)
    with pytest.raises(el.DownloadFailed, match="a page came in its place") as caught:
        world.buy("photon-flash", origin=cell())
    world.server.faults.clear()
    (result,) = world.buy("photon-flash", origin=cell())

    assert caught.value.spent == "yes"
    assert result.mime.startswith("image/")
    assert "fetched now" in receipt_line(result.receipt)
    assert world.posts() == 1
    assert world.charged == world.booked == 1


def test_a_colleague_s_results_in_the_folder_do_not_pass_for_one_s_own(world):
    """A cloned repository brings takes whose numbers count the calls of another ledger."""
    world.buy("photon-flash", "a colleague's cat", origin=cell("c9", "s9"))
    world.session = world.new_session(home=world.home.parent / "mine")
    assert pay(world, prompt="my dog") == 1

    (result,) = world.buy("photon-flash", "my dog", origin=cell())
    assert result.path == world.session.show(1).path
    assert result.tokens == 0
    assert world.charged == 2


DYING = """
import os, sys
from elumenta_nb._session import Session
from elumenta_nb._values import Ask, Downloading, Origin
session = Session(api_key=sys.argv[1], base_url=sys.argv[2], home=sys.argv[3])
def view(event):
    if isinstance(event, Downloading):
        os.kill(os.getpid(), 9)
view.tick = lambda: None
session.run(Ask(model="photon-flash", prompt="a quiet harbour"), Origin(source="magic", cell_id="c1", source_hash="s1", run="r"), view)
"""


def test_a_kernel_that_died_between_the_charge_and_the_file_leaves_it_to_the_next(world):
    facts = [world.server.api_key, world.server.url, str(world.home)]
    died = subprocess.run([sys.executable, "-c", DYING, *facts], capture_output=True, timeout=60)
    assert died.returncode == -9, died.stderr
    assert world.booked == world.charged == 1

    (result,) = world.buy("photon-flash", origin=cell())

    assert result.path.stat().st_size > 0
    assert world.posts() == 1
    assert world.charged == world.booked == 1


def test_a_text_that_was_never_stored_is_fetched_again(world):
    (bought,) = world.buy("gpt-5", origin=cell())
    shutil.rmtree(world.session.services().store.folder)

    (result,) = world.buy("gpt-5", origin=cell())

    assert result.text == bought.text
    assert world.posts() == 1
    assert world.charged == world.booked == 2


def test_five_that_were_paid_in_a_loop_are_fetched_as_five(world):
    first, second = cell(run="first"), cell(run="second")
    for _ in range(5):
        pay(world, first)
    assert world.posts() == 5, "equal calls of one run buy one each"

    fetched = [world.buy("photon-flash", origin=second)[0] for _ in range(5)]
    more = world.buy("photon-flash", origin=second)

    assert len({result.generation_id for result in fetched}) == 5
    assert sum(result.tokens for result in fetched) == 0
    assert more[0].tokens == 1
    assert world.posts() == 6
    assert world.charged == world.booked == 6


def test_a_count_that_could_not_be_fetched_is_fetched_as_many(world):
    pay(world, count=3)

    results = world.buy("photon-flash", origin=cell(), count=3)

    assert len({result.path for result in results}) == 3
    assert world.posts() == 3
    assert world.charged == world.booked == 3


@pytest.mark.parametrize("lost", ["the file", "the generation", "the page, and what the history tells of it"])
def test_what_the_server_has_no_more_is_bought_again_only_on_purpose(world, lost):
    call_id = pay(world)
    if lost == "the file":
        world.server.fault("status", code=404, **FILE)
    else:
        world.server.fault("status", code=404, path="/generate/*", method="GET", times=1000)
        body = '{"items": [], "total": 0}'
        if lost != "the generation":
            (row,) = world.history
            shape = {
                "id": row["id"],
                "model": row["model"],
                "status": "completed",
                "created_at": str(row["created_at"]),
            }
            body = f'{{"items": [{shape}], "total": 1}}'.replace("'", '"')
        world.server.fault("garbage", path="/user/history", body=body, times=1000)

    with pytest.raises(el.DownloadFailed, match=rf"paid before \(1 token, call {call_id}\)") as caught:
        world.buy("photon-flash", origin=cell())

    assert caught.value.spent == "no"
    assert caught.value.hint == "To buy another: --fresh"
    assert len(caught.value._render_traceback_()) <= 10
    assert world.posts() == 1
    world.server.faults.clear()
    (bought,) = world.buy("photon-flash", origin=cell(), fresh=True)
    assert world.posts() == 2
    (shown,) = world.buy("photon-flash", origin=cell())
    assert shown.generation_id == bought.generation_id
    assert world.charged == world.booked == 2


@pytest.mark.parametrize(
    "trouble",
    [
        {"kind": "status", "code": 500, **FILE},
        {"kind": "status", "code": 500, "path": "/generate/*", "method": "GET", "times": 1000},
        {"kind": "garbage", "path": "/generate/*", "method": "GET", "times": 1000},
    ],
    ids=["file", "page", "garbage"],
)
def test_while_the_server_is_in_trouble_nothing_is_bought_and_later_it_is_fetched(world, trouble):
    pay(world)
    world.server.fault(**trouble)
    world.server.fault("status", code=500, path="/user/history", times=1000)

    with pytest.raises(el.ElumentaError) as caught:
        world.buy("photon-flash", origin=cell())

    assert caught.value.spent == "no"
    assert "To try again, at no cost: run the cell again." in caught.value.hint
    assert world.posts() == 1
    world.server.faults.clear()
    (result,) = world.buy("photon-flash", origin=cell())
    assert result.path.stat().st_size > 0
    assert world.posts() == 1
    assert world.charged == world.booked == 1


@pytest.mark.parametrize("trouble", [{"kind": "status", "code": 500}, {"kind": "garbage"}], ids=["500", "garbage"])
def test_while_only_its_page_is_in_trouble_the_history_says_where_the_file_is(world, trouble):
    pay(world)
    world.server.fault(**trouble, path="/generate/*", method="GET", times=1000)
    (result,) = world.buy("photon-flash", origin=cell())

    assert result.path.stat().st_size > 0
    assert world.posts() == 1
    assert world.charged == world.booked == 1


def test_only_what_the_policy_restores_is_fetched(world):
    pay(world)
    (text,) = world.buy("gpt-5", origin=cell("t", "t"))
    shutil.rmtree(world.session.services().store.folder)

    world.buy("gpt-5", origin=cell("t", "t"), reuse="media")
    assert world.charged == 1 + 2 * text.tokens
    (picture,) = world.buy("photon-flash", origin=cell(), reuse="media")
    assert picture.tokens == 0
    world.buy("photon-flash", origin=cell(), reuse="off")

    assert world.charged == world.booked == 2 + 2 * text.tokens


def test_another_folder_buys_its_own(world, tmp_path):
    pay(world)
    world.session = world.new_session()
    (tmp_path / "other").mkdir()
    world.session.start_in(tmp_path / "other")

    (result,) = world.buy("photon-flash", origin=cell())

    assert Path(result.path).is_relative_to(tmp_path / "other")
    assert world.charged == world.booked == 2


def test_a_charge_that_was_an_estimate_gets_its_figure_when_it_is_fetched(world):
    """The answer had no id and no figure, and its text is lost as well: the history has the generation."""
    body = '{"status": "completed", "result_text": "a", "content": "a"}'
    world.server.fault("garbage", path="/generate", method="POST", body=body)
    (bought,) = world.buy("gpt-5", origin=cell())
    shutil.rmtree(world.session.services().store.folder)

    (result,) = world.buy("gpt-5", origin=cell())

    assert result.text
    assert world.posts() == 1
    assert world.charged == world.booked == 2
    row = world.session.ledger().call(bought.id)
    assert row.generation_id == result.generation_id
    assert not row.estimated


def test_a_text_that_was_cut_is_kept_marked_and_fetched_whole_when_the_server_tells_it(world, dialect):
    """The stream broke off, and the page of the generation tells its charge and no text."""
    path = "/generate" if dialect == "b" else "/generate/stream"
    world.server.fault("stream_cut", path=path, method="POST", after_pieces=3)
    body = '{"status": "completed", "tokens_spent": 2, "tokens_used": 2}'
    world.server.fault("garbage", path="/generate/*", method="GET", body=body, times=1000)
    history = '{"items": [], "total": 0}'
    world.server.fault("garbage", path="/user/history", body=history, times=1000)
    (cut,) = world.buy("gpt-5", "a long story", origin=cell(), stream=True)
    assert cut.text
    assert not cut.complete
    assert world.charged == world.booked == 2

    with pytest.raises(el.DownloadFailed) as caught:
        world.buy("gpt-5", "a long story", origin=cell(), stream=True)
    assert caught.value.hint == "To buy another: --fresh"
    assert world.session.show(cut.id).text == cut.text

    world.server.faults.clear()
    (whole,) = world.buy("gpt-5", "a long story", origin=cell(), stream=True)
    assert whole.complete
    assert whole.text.startswith(cut.text)
    assert len(whole.text) > len(cut.text)
    assert world.session.show(cut.id).text == whole.text
    assert world.charged == world.booked == 2
