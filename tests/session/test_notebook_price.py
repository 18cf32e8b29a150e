"""What Run All would cost, read from the saved file: the price it names is the price it has."""

from __future__ import annotations

import json
import os
import re
import time
from datetime import datetime
from pathlib import Path

import pytest

import elumenta_nb as el
from elumenta_nb import sandbox
from elumenta_nb._cli import main
from elumenta_nb._notebook_cells import read_notebook
from elumenta_nb._notebook_price import price_of_notebook
from elumenta_nb._session import Session
from elumenta_nb._values import Ask, Origin
from elumenta_nb._verbs import VERBS

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def server():
    with sandbox.serve(time_scale=0.002) as running:
        yield running


@pytest.fixture
def session(server, tmp_path):
    server.control("reset")
    server.seen.clear()
    session = Session(api_key=server.api_key, base_url=server.url, home=tmp_path / "home")
    yield session
    session.close()


def saved(*cells: str, name: str = "report.ipynb", **more) -> Path:
    """A notebook of these code cells in the working directory."""
    rows = [
        {"cell_type": "code", "id": f"c{at}", "metadata": {}, "outputs": [], "source": source, **more}
        for at, source in enumerate(cells)
    ]
    path = Path.cwd() / name
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": rows}))
    return path


def priced(session, *cells: str, namespace=None):
    return price_of_notebook(session, saved(*cells), verbs=VERBS, namespace=namespace)


def row(session, cell: str, **more):
    (only,) = priced(session, cell, **more).rows
    return only


def run(session, path, **more):
    """Buy what a cell says, as its run would."""
    return session.run(Ask(**more), Origin(source="magic", cell_id=f"{path}"))


# ---------------------------------------------------------------- single cells


@pytest.mark.parametrize(
    ("cell", "status", "low", "high"),
    [
        ("%%elumenta image dall-e-3 --size 1792x1024 --quality hd\na cat", "to buy", 13, 13),
        ("%%elumenta image dall-e-3 --count 3\na cat", "to buy", 15, 15),
        ("%%elumenta text\nhello", "to buy", 1, 1),
        ("\n\n%%elumenta text gpt-5\nhello", "to buy", 2, 2),
        ("%elumenta text gpt-5 'hello there'", "to buy", 2, 2),
        ("x = %elumenta text gpt-5 'hello there'", "to buy", 2, 2),
        ("for i in range(3):\n    %elumenta text gpt-5 hello", "depends on how often it runs", 2, None),
        (
            "def ask():\n    for i in range(3):\n        %elumenta text gpt-5 hello",
            "depends on how often it runs",
            0,
            None,
        ),
        ("%%timeit -n 1\n%elumenta text gpt-5 hello", "depends on how often it runs", 2, None),
        ("if ready:\n    %elumenta text gpt-5 hello", "to buy", 2, 2),
        ("%%time\n%%elumenta text gpt-5\nhello", "to buy", 2, 2),
        ("%%capture shown\n\n%%elumenta text gpt-5\nhello", "to buy", 2, 2),
        ("%time %elumenta text gpt-5 hello", "to buy", 2, 2),
        ("%time x = %elumenta text gpt-5 hello", "to buy", 2, 2),
        ("answers['hello'] = %elumenta text gpt-5 hello", "to buy", 2, 2),
        ("answers[first(names)], rest = %elumenta text gpt-5 hello", "to buy", 2, 2),
        ("made['x'] = !ls\nanswer = %elumenta text gpt-5 hello", "to buy", 2, 2),
        ("%%time\n%elumenta text gpt-5 hello", "to buy", 2, 2),
        ("%elumenta text gpt-5 \\\n    hello", "to buy", 2, 2),
        ("%%elumenta video kling-v2.1 -b\na cat", "background", 26, 26),
        ("%%elumenta image dall-e-3 --quote\na cat", "price only", 0, 0),
        ("%%elumenta text gpt-5\n{{orders}}", "depends on a variable", 2, 2),
        ("%%elumenta text gpt-5 --raw\n{{orders}}", "to buy", 2, 2),
        ("%%elumenta image dall-e-3 --quality {{q}}\na cat", "depends on a variable", 5, 13),
        ("%%elumenta image dall-e-3 --quality={{q}}\na cat", "depends on a variable", 5, 13),
        ("%%elumenta text gpt-5 --system {{s}}\nhello", "depends on a variable", 2, 2),
        ("%%elumenta text gpt-5 --count {{n}}\nhello", "depends on a variable", 2, None),
        ("%elumenta text gpt-5 {{q}}", "depends on a variable", 2, 2),
        ("%%elumenta video kling-v2.1 --image poster\na cat", "depends on a variable", 26, 26),
        ("%%elumenta image-tools upscale --input pictures[0]\n", "depends on a variable", 1, 1),
        ("%%elumenta audio-tools el-dubbing --audio spoken --language de\n", "depends on a variable", 60, 600),
        ("%%elumenta text gpt-55\nhello", "refused", 0, 0),
        ("%%elumenta {{category}}\nhello", "depends on a variable", 0, None),
        ("%%elumenta text {{model}}\nhello", "depends on a variable", 0, None),
        ("%elumenta text {{model_or_prompt}}", "depends on a variable", 0, None),
        ("%elumenta text 'hello there' {{q}}", "depends on a variable", 1, 1),
        ("%elumenta text gpt-5 --fresh {{q}}", "depends on a variable", 2, 2),
        ("%elumenta text gpt-5 --system {{s}} {{q}}", "depends on a variable", 2, 2),
        ("%%elumenta image dall-e-3 --qualty hd\na cat", "refused", 0, 0),
        ("%%elumenta image dall-e-3 --max-price 4\na cat", "refused", 0, 0),
        ("%%elumenta text gpt-5\n", "refused", 0, 0),
        ("%%elumenta stt whisper --file nowhere.mp3\n", "refused", 0, 0),
        ("%elumenta balanc", "refused", 0, 0),
    ],
)
def test_a_cell_has_its_status_and_its_price(session, cell, status, low, high):
    found = row(session, cell)

    assert (found.status, found.low, found.high) == (status, low, high)
    assert found.cell == 1
    assert found.cell_id == "c0"
    assert bool(found.note) == (status not in ("to buy", "background"))


@pytest.mark.parametrize(
    "cell",
    [
        "%load_ext elumenta_nb",
        "%elumenta balance",
        "%elumenta price dall-e-3",
        "%elumenta price {{model}}",
        "%elumenta budget {{limit}}",
        "%elumenta again",
        "%%elumenta image -h",
        "%elumenta",
        "text = '''\n%elumenta text gpt-5 hello\n'''",
        "# %elumenta text gpt-5 hello",
        "print('100 = %elumenta text gpt-5 hello')",
        "x = 'a'  # = %elumenta text gpt-5 hello",
        "%%html\n%elumenta text gpt-5 hello",
        "!echo %elumenta text gpt-5 hello",
        "el.spend()",
        "",
    ],
)
def test_what_buys_nothing_has_no_row(session, cell):
    assert priced(session, cell).rows == ()


def test_what_is_wrong_with_a_cell_is_said_as_its_run_would(session):
    assert "gpt-5" in row(session, "%%elumenta text gpt-55\nhello").note
    assert "--quality" in row(session, "%%elumenta image dall-e-3 --qualty hd\na cat").note
    assert "limit is 4" in row(session, "%%elumenta image dall-e-3 --max-price 4\na cat").note


def test_a_dear_cell_says_that_it_will_ask(session):
    asks = row(session, "%%elumenta video veo-3.1 --duration 8 --audio\nthe sea")
    allowed = row(session, "%%elumenta video veo-3.1 --duration 8 --audio --max-price 400\nthe sea")

    assert (asks.low, allowed.low) == (334, 334)
    assert "--max-price 334" in asks.note
    assert allowed.note == ""


def test_a_cell_that_jupyter_skips_is_not_priced(session):
    path = saved("%%elumenta text gpt-5\nhello", metadata={"tags": ["skip-execution"]})

    assert price_of_notebook(session, path, verbs=VERBS).rows == ()


# ---------------------------------------------------------------- what is stored


def test_what_is_stored_beside_the_notebook_costs_nothing(session):
    run(session, "c0", model="gpt-5", prompt="hello")
    price = priced(session, "%%elumenta text gpt-5\nhello", "%%elumenta text gpt-5\nhello again")

    assert [found.status for found in price.rows] == ["stored", "to buy"]
    assert (price.low, price.high) == (2, 2)


def test_what_was_paid_and_never_came_home_costs_nothing_more(session, server):
    photo = "%%elumenta image photon-flash\na quiet harbour"
    server.fault("status", path="*storage*", method="GET", code=404, times=1000)
    with pytest.raises(el.DownloadFailed):
        run(session, "c0", model="photon-flash", prompt="a quiet harbour")
    server.faults.clear()
    price = priced(
        session, photo, photo, photo.replace("flash", "flash --count 2"), photo.replace("flash", "flash --fresh")
    )

    assert [(found.status, found.high) for found in price.rows] == [
        ("paid already", 0), ("stored", 0), ("to buy", 1), ("to buy", 1),
    ]  # fmt: skip
    assert price.rows[0].note == "its result never came: fetched, not bought again"

    spent = session.spend()["tokens"].sum()
    assert run(session, "c0", model="photon-flash", prompt="a quiet harbour")[0].path.is_file()
    assert session.spend()["tokens"].sum() == spent == 1


def test_a_call_that_still_runs_costs_nothing_more_in_its_own_cell(session, server):
    film = "%%elumenta video kling-v2.1\na small boat"
    handle = session.start(
        Ask(model="kling-v2.1", prompt="a small boat"), Origin(source="magic", cell_id="c0", run="1")
    )
    while not session.jobs().status.eq("pending").any():
        time.sleep(0.01)
    handle.stop()
    price = priced(session, film, film)

    assert [(found.status, found.high) for found in price.rows] == [("paid already", 0), ("stored", 0)]
    assert price.rows[0].note == "still running: waited for, not bought again"
    assert len(session.resume()) == 1


def test_looking_claims_nothing(session):
    run(session, "c0", model="gpt-5", prompt="hello")
    for _ in range(3):
        assert row(session, "%%elumenta text gpt-5\nhello").status == "stored"

    (shown,) = run(session, "c0", model="gpt-5", prompt="hello")
    assert shown.reused


def test_equal_cells_are_bought_once_and_count_as_many_as_they_say(session):
    hello = "%%elumenta text gpt-5\nhello"
    price = priced(
        session, hello, hello, "%%elumenta text gpt-5 --count 3\nhello", hello.replace("gpt-5", "gpt-5 --fresh")
    )

    assert [(found.status, found.high) for found in price.rows] == [
        ("to buy", 2), ("stored", 0), ("to buy", 4), ("to buy", 2),
    ]  # fmt: skip
    assert "1 of 3 stored" in price.rows[2].note
    assert "--fresh" in price.rows[3].note


def test_policies_are_those_of_the_run(session):
    run(session, "c0", model="gpt-5", prompt="hello")

    assert row(session, "%%elumenta text gpt-5 --reuse off\nhello").status == "to buy"
    assert row(session, "%%elumenta text gpt-5 --reuse media\nhello").status == "to buy"
    assert row(session, "%%elumenta text gpt-5 --reuse only\nhello").status == "stored"
    assert row(session, "%%elumenta text gpt-5 --reuse only\nnever").status == "refused"


def test_a_template_whose_cell_has_a_result_may_cost_nothing(session):
    cell = "%%elumenta image dall-e-3 --quality hd\na {{what}}"
    source = read_notebook(saved(cell))[0].source_hash
    session.run(
        Ask(model="dall-e-3", prompt="a cat", options={"quality": "hd"}), Origin(source="magic", source_hash=source)
    )

    found = row(session, cell)
    assert (found.status, found.low, found.high) == ("depends on a variable", 0, 9)


def test_a_damaged_result_is_fetched_again(session):
    (result,) = run(session, "c0", model="photon-flash", prompt="hello")
    result.path.write_bytes(b"cut")

    assert row(session, "%%elumenta image photon-flash\nhello").status == "paid already"


def test_a_later_turn_of_a_chat_depends_on_the_earlier_ones(session):
    price = priced(session, "%%elumenta text gpt-5 --chat a\nhello", "%%elumenta text gpt-5 --chat a\nand now?")

    assert [found.status for found in price.rows] == ["to buy", "depends on a variable"]
    assert session.chats == {}


def test_the_file_of_an_input_is_looked_for_beside_the_notebook(session, tmp_path, monkeypatch):
    path = saved("%%elumenta stt whisper --file talk.mp3\n")
    (path.parent / "talk.mp3").write_bytes(b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"\xff\xfb\x90\x00" * 500)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    (found,) = price_of_notebook(session, path, verbs=VERBS).rows
    assert (found.status, found.low) == ("to buy", 2)


# ---------------------------------------------------------------- in the notebook's own kernel


def test_a_kernel_fills_templates_with_its_variables_and_says_so(session):
    cell = "%%elumenta image dall-e-3 --quality {{q}}\na {{what}}"
    price = priced(session, cell, "%%elumenta text gpt-5\n{{later}}", namespace={"q": "hd", "what": "cat"})

    assert [(found.status, found.low, found.high) for found in price.rows] == [
        ("to buy", 9, 9),
        ("depends on a variable", 2, 2),
    ]
    assert "variables of this kernel" in str(price)


# ---------------------------------------------------------------- the whole


def test_nothing_is_sent_but_questions_of_price_each_once(session, server):
    cell = "%%elumenta image dall-e-3 --quality hd\na cat number "
    priced(session, *[f"{cell}{n}" for n in range(5)])

    assert sorted(seen.path.rpartition("/")[2] for seen in server.seen) == ["balance", "calculate-price", "me"]
    assert session.spend().empty
    assert not Path("elumenta_media").exists()


def test_the_sum_and_the_balance_are_in_the_frame_and_on_the_card(session):
    cells = ("%%elumenta image dall-e-3 --quality {{q}}\na cat", "%%elumenta text gpt-5\nhello")
    price = priced(session, *cells)
    frame = price.frame()

    assert (frame.attrs["low"], frame.attrs["high"], frame.attrs["balance"]) == (7, 15, 1500)
    assert list(frame["maximum"]) == [13, 2]
    assert str(frame["tokens"].dtype) == "Int64"
    assert frame["tokens"].isna().tolist() == [True, False]
    data, _ = price._repr_mimebundle_()
    assert "report.ipynb: Run All costs 7–15 tokens" in data["text/plain"]
    assert "Balance: 1,500 tokens" in data["text/html"]


def test_an_account_with_too_little_is_told_how_much_is_short(tmp_path):
    with sandbox.serve(balance=10) as poor:
        session = Session(api_key=poor.api_key, base_url=poor.url, home=tmp_path / "home")
        price = priced(session, "%%elumenta image dall-e-3 --quality hd --count 2\na cat")
        session.close()

    assert "8 tokens short at worst" in str(price)


def test_without_a_key_the_ranges_of_the_table_are_shown_and_said_to_be(tmp_path):
    session = Session(home=tmp_path / "home")
    price = priced(session, "%%elumenta image dall-e-3 --quality hd\na cat")

    assert (price.low, price.high, price.balance) == (5, 13, None)
    assert "Prices are the table's" in str(price)


def test_a_server_that_does_not_answer_is_asked_once(tmp_path, server):
    server.fault("status", code=401, times=1)
    session = Session(api_key=server.api_key, base_url=server.url, home=tmp_path / "home")
    price = priced(session, "%%elumenta image dall-e-3\na cat", "%%elumenta image photon\na cat")
    session.close()

    assert (price.low, price.high) == (6, 15)


def test_with_only_nothing_is_sent_at_all(session, server, tmp_path):
    run(session, "c0", model="gpt-5", prompt="hello")
    server.seen.clear()
    offline = Session(home=tmp_path / "home", base_url=server.url, reuse="only")
    price = priced(
        offline, "%%elumenta text gpt-5\nhello", "%%elumenta text gpt-5 --fresh\nhello", "%%elumenta text\nno"
    )

    assert [found.status for found in price.rows] == ["stored", "stored", "refused"]
    assert not server.seen


def test_a_notebook_that_turns_the_sandbox_on_is_priced_there(tmp_path):
    session = Session(home=tmp_path / "home")
    price = priced(session, "%load_ext elumenta_nb\n%elumenta sandbox on", "%%elumenta image dall-e-3\na cat")

    assert (price.low, price.high, price.balance) == (5, 5, 1500)
    assert str(price).startswith("SANDBOX")
    assert session.settings.mode is None


def test_the_settings_of_the_user_hold_in_the_notebook_s_own_sandbox_too(tmp_path):
    rehearsed = Session(home=tmp_path / "home", mode="sandbox")
    run(rehearsed, "c1", model="gpt-5", prompt="hello")
    rehearsed.close()
    cells = ("%elumenta sandbox on", "%%elumenta text gpt-5\nhello")

    found = [priced(Session(home=tmp_path / "home", reuse=reuse), *cells).rows[0].status for reuse in (None, "off")]
    assert found == ["stored", "to buy"]


def test_a_file_of_another_day_says_its_day(session):
    path = saved("%%elumenta text gpt-5\nhello")
    assert re.search(r"As saved at \d\d:\d\d\.$", str(price_of_notebook(session, path, verbs=VERBS)))
    noon = datetime(2026, 3, 7, 12).timestamp()
    os.utime(path, (noon, noon))

    assert "As saved at 12:00, 7 Mar." in str(price_of_notebook(session, path, verbs=VERBS))


@pytest.mark.parametrize(
    "text",
    ["", "no json", "[]", "{}", '{"cells": 3}', '{"cells": [{"cell_type": "code"}]}', '{"cells": [3]}', "[" * 100_000,
     '{"cells": [{"cell_type": "code", "source": 3}]}', '{"worksheets": [{"cells": []}]}'],
    ids=range(10),
)  # fmt: skip
def test_a_file_that_is_no_notebook_is_refused(session, text):
    path = Path("odd.ipynb")
    path.write_text(text)

    with pytest.raises(el.BadParam, match="not a notebook"):
        price_of_notebook(session, path, verbs=VERBS)


@pytest.mark.parametrize("source", ["def (", "x = '''", "%elumenta", "\x00", "é" * 9, "%%elumenta", "%%", "(" * 5000])
def test_odd_cells_are_read_without_an_error(session, source):
    price = priced(session, source, "%%elumenta text gpt-5\nhello")

    assert price.rows[-1].status == "to buy"


def test_sources_in_lines_and_in_one_piece_are_the_same(session):
    path = saved("%%elumenta text gpt-5\nhello\nthere")
    notebook = json.loads(path.read_text())
    notebook["cells"][0]["source"] = notebook["cells"][0]["source"].splitlines(keepends=True)
    other = Path("lines.ipynb")
    other.write_text("\ufeff" + json.dumps(notebook), encoding="utf-8")

    assert read_notebook(path) == read_notebook(other)


# ---------------------------------------------------------------- surfaces


def test_in_python_the_path_is_told_or_asked_for(session, server, monkeypatch):
    el.configure(api_key=server.api_key, base_url=server.url)
    saved("%%elumenta text gpt-5\nhello")

    assert el.price_notebook("report.ipynb")["tokens"].tolist() == [2]
    with pytest.raises(el.BadParam, match="which notebook"):
        el.price_notebook()
    monkeypatch.setenv("ELUMENTA_NOTEBOOK", "report.ipynb")
    assert el.price_notebook()["status"].tolist() == ["to buy"]


@pytest.mark.parametrize(("limit", "status"), [(None, 0), ("13", 0), ("12", 1)])
def test_the_command_s_status_says_whether_it_may_be_above_a_limit(monkeypatch, capsys, limit, status):
    monkeypatch.setenv("ELUMENTA_MODE", "sandbox")
    saved("%%elumenta image dall-e-3 --quality {{q}}\na cat")

    assert main(["price", "report.ipynb", *(["--max-price", limit] if limit else [])]) == status
    assert "Run All costs 5–13 tokens" in capsys.readouterr().out


def test_a_price_that_is_not_known_is_above_any_limit(monkeypatch, capsys):
    monkeypatch.setenv("ELUMENTA_MODE", "sandbox")
    saved("%%elumenta text gpt-5 --count {{n}}\nhello")

    assert main(["price", "report.ipynb", "--max-price", "1000"]) == 1
    assert "at least 2 tokens" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["nowhere.ipynb"], ["odd.ipynb"], ["--notebook"], ["report.ipynb", "--max-price"]])
def test_a_bad_file_or_command_line_is_status_2(monkeypatch, capsys, words):
    monkeypatch.setenv("ELUMENTA_MODE", "sandbox")
    Path("odd.ipynb").write_text("{")

    assert main(["price", *words]) == 2
    assert capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["01_quickstart", "02_images_and_video", "03_speech_and_music"])
def test_the_price_of_a_notebook_of_the_project_is_what_it_shows_to_have_cost(name, tmp_path):
    """Their committed outputs say what each cell was charged; what one of them buys in Python is refused there."""
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())
    shown = [
        "".join(out.get("data", {}).get("text/plain", []))
        for cell in notebook["cells"]
        for out in cell.get("outputs", [])
        if out.get("output_type") == "display_data"
    ]
    paid = sum(int(found[1]) for line in shown if (found := re.match(r"SANDBOX · .* · (\d+) tokens? · [\d.]+ s", line)))
    path = tmp_path / f"{name}.ipynb"
    path.write_text(json.dumps(notebook))

    price = price_of_notebook(Session(home=tmp_path / "home"), path, verbs=VERBS)

    assert price.low == paid > 0
    assert price.high == (None if price.unpriced else paid)
    assert price.unpriced == (name == "02_images_and_video")
