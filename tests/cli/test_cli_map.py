"""`elumenta-nb map`: a file in, a file out, paid once however often it is run and however it ends."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from elumenta_nb import _session, sandbox
from elumenta_nb._cli import main

ROWS = 60
# The command, but a call that no history shows was not made after two seconds, not after fifteen minutes.
PROGRAM = (
    "import sys; from elumenta_nb._cli import main; from elumenta_nb._wiring import Wiring; Wiring.grace_s = 2.0;"
    " sys.exit(main())"
)


@pytest.fixture
def rehearsal(monkeypatch):
    monkeypatch.setenv("ELUMENTA_MODE", "sandbox")


@pytest.fixture
def goods() -> Path:
    path = Path.cwd() / "goods.csv"
    path.write_text("sku,title,seed\n007,Mug,7\n008,Чашка,8\n009,Lamp,9\n", encoding="utf-8")
    return path


def asked(*words: str, out: str = "out.csv") -> int:
    return main(
        ["map", "goods.csv", "--model", "gpt-5-nano", "--template", "{{title}}: one line", "--out", out, *words]
    )


def read(name: str) -> pd.DataFrame:
    path = Path.cwd() / name
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype={"sku": str})
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_json(path, lines=True, dtype={"sku": str})


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.jsonl"])
def test_every_format_that_is_written_holds_the_rows_and_their_results(name, goods, rehearsal, capsys):
    assert asked("--budget", "5", out=name) == 0

    frame = read(name)
    assert frame["sku"].tolist() == ["007", "008", "009"], "what a CSV says is text"
    assert frame["status"].tolist() == ["completed"] * 3
    assert frame["tokens"].sum() == 3
    assert "Чашка: one line" in frame["result"][1]
    assert [path.name for path in Path.cwd().iterdir() if path.suffix == ".part"] == []
    said = capsys.readouterr().out
    assert "3 calls to buy, 3 tokens" in said, "the plan comes first"
    assert f"{name}: 3 of 3 rows · 3 tokens" in said


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.jsonl"])
def test_every_format_that_is_written_can_be_read_again(name, goods, rehearsal):
    assert asked("--budget", "5", out=name) == 0
    template = "{{sku}} {{title}}: shorter"

    assert (
        main(["map", name, "--model", "gpt-5-nano", "--template", template, "--out", "next.csv", "--budget", "5"]) == 0
    )

    frame = pd.read_csv("next.csv")
    assert "009 Lamp: shorter" in frame["map_result"][2], "the first map's columns keep their names"
    assert frame["map_status"].tolist() == ["completed"] * 3


def test_run_again_it_costs_nothing_and_writes_the_same_file(goods, rehearsal, capsys):
    asked("--budget", "5")
    first = (Path.cwd() / "out.csv").read_text(encoding="utf-8")
    capsys.readouterr()

    assert asked("--budget", "5") == 0

    said = capsys.readouterr().out
    assert "nothing to buy" in said
    assert "out.csv: 3 of 3 rows · 0 tokens" in said
    assert read("out.csv")["result"].tolist() == pd.read_csv(Path.cwd() / "out.csv")["result"].tolist()
    assert first.count("SANDBOX") == (Path.cwd() / "out.csv").read_text(encoding="utf-8").count("SANDBOX")


def test_a_budget_that_does_not_reach_is_status_1_and_the_rest_is_bought_with_a_larger_one(goods, rehearsal, capsys):
    assert asked("--budget", "2") == 1
    assert "2 of 3 rows · 2 tokens · 1 not bought" in capsys.readouterr().out
    assert sorted(read("out.csv")["status"]) == ["completed", "completed", "not bought"]

    assert asked("--budget", "3") == 0
    assert "3 of 3 rows · 1 token" in capsys.readouterr().out


def test_media_are_beside_the_output_and_named_from_there(goods, rehearsal):
    Path("results").mkdir()
    words = ["map", "goods.csv", "--model", "dall-e-3", "--template", "{{title}}", "--params", "seed=seed"]

    assert (
        main([*words, "-p", "size=1024x1024", "--column", "picture", "--out", "results/out.csv", "--budget", "20"]) == 0
    )

    pictures = pd.read_csv("results/out.csv")["picture"]
    assert all((Path("results") / picture).is_file() for picture in pictures)
    assert not Path("elumenta_media").exists()
    calls = _session.current().ledger().open_calls()
    assert calls == []


def test_a_dry_run_shows_the_plan_and_needs_no_file_to_write(goods, rehearsal, capsys):
    assert main(["map", "goods.csv", "--model", "gpt-5-nano", "--template", "{{title}}", "--dry-run"]) == 0
    assert "3 calls to buy, 3 tokens" in capsys.readouterr().out
    assert len(_session.current().spend()) == 0


def test_a_dear_map_without_consent_is_not_begun_and_names_the_option(goods, rehearsal, monkeypatch, capsys):
    monkeypatch.setenv("ELUMENTA_CONFIRM_ABOVE", "2")

    assert asked() == 1
    assert "--budget 3" in capsys.readouterr().err
    assert asked("--max-price", "2") == 1
    assert "--max-price 3" in capsys.readouterr().err
    assert not Path("out.csv").exists()
    assert len(_session.current().spend()) == 0


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["map"], "Which file?"),
        (["map", "goods.csv"], "Which model?"),
        (["map", "goods.csv", "--model", "gpt-5-nano", "--template", "x"], "--out"),
        (["map", "goods.xlsx", "--model", "gpt-5-nano", "--out", "out.csv"], ".csv, .parquet, .jsonl"),
        (["map", "goods.csv", "--model", "gpt-5-nano", "--out", "out.txt"], ".csv, .parquet, .jsonl"),
        (["map", "other.csv", "--model", "gpt-5-nano", "--out", "out.csv"], "There is no file other.csv"),
        (["map", "goods.csv", "--model", "gpt-5-nano", "--out", "goods.csv"], "another file"),
        (["map", "goods.csv", "--model", "gpt-5-nano", "--out", "no/out.csv"], "no such folder"),
        (["map", "goods.csv", "--model", "gpt-5-nano", "--template", "{{titel}}", "--out", "o.csv"], "Did you mean title?"),
        (["map", "goods.csv", "--model", "gpt-5-nan", "--template", "{{title}}", "--out", "o.csv"], "gpt-5-nano"),
        (["map", "goods.csv", "--modell", "x"], "--model"),
        (["map", "goods.csv", "--params", "seed"], "--params"),
        (["map", "bad.jsonl", "--model", "gpt-5-nano", "--template", "x", "--out", "out.csv"], "bad.jsonl cannot be read"),
        (["map", "bad.parquet", "--model", "gpt-5-nano", "--template", "x", "--out", "out.csv"], "cannot be read"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_status_2_says_what_is_wrong_and_sends_nothing(words, part, goods, rehearsal, capsys):
    Path("bad.jsonl").write_text("{not json\n", encoding="utf-8")
    Path("bad.parquet").write_bytes(b"no parquet at all")

    assert main(words) == 2
    assert part in capsys.readouterr().err
    assert not Path("out.csv").exists()


@pytest.mark.parametrize(("second", "why"), [("{not json", "line 2: "), ("5", "line 2: it is not an object")])
def test_a_line_that_is_no_row_is_named(second, why, rehearsal, capsys):
    Path("rows.jsonl").write_text(f'{{"title": "lamp"}}\n{second}\n', encoding="utf-8")

    assert main(["map", "rows.jsonl", "--model", "gpt-5-nano", "--template", "{{title}}", "--dry-run"]) == 2
    assert why in capsys.readouterr().err


def test_a_line_of_json_ends_at_its_line_feed_only(rehearsal, capsys):
    Path("rows.jsonl").write_text('{"title": "a\u2028b\x85c"}\r\n{"title": "d"}\r\n', encoding="utf-8", newline="")

    assert main(["map", "rows.jsonl", "--model", "gpt-5-nano", "--template", "{{title}}", "--dry-run"]) == 0
    assert "2 calls to buy" in capsys.readouterr().out


def test_parquet_without_its_library_is_refused_before_anything_is_bought(goods, rehearsal, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as Python finds what is not installed

    assert asked("--budget", "5", out="out.parquet") == 1
    assert 'pip install "elumenta-nb[batch]"' in capsys.readouterr().err
    assert len(_session.current().spend()) == 0


def test_it_speaks_russian(goods, rehearsal, monkeypatch, capsys):
    monkeypatch.setenv("ELUMENTA_LANG", "ru")

    assert asked("--budget", "2") == 1
    said = capsys.readouterr().out
    assert "строк: 2 из 3" in said
    assert main(["map"]) == 2
    assert "Какой файл?" in capsys.readouterr().err


# -------------------------------------------------------------------- a process that is killed, or told to stop


@pytest.fixture
def account(tmp_path, monkeypatch):
    """An API on loopback that outlives the processes, and answers in about half a second."""
    with sandbox.serve(state=tmp_path / "sandbox.sqlite", time_scale=0.15) as server:
        server.control("limit", "0")
        monkeypatch.setenv("ELUMENTA_BASE_URL", server.url)
        monkeypatch.setenv("ELUMENTA_API_KEY", server.api_key)
        pd.DataFrame({"title": [f"thing {i}" for i in range(ROWS)]}).to_json(
            "goods.jsonl", orient="records", lines=True
        )
        yield server


def begun() -> subprocess.Popen:
    words = ["map", "goods.jsonl", "--model", "gpt-5-nano", "--template", "{{title}}: one line", "--out", "out.parquet"]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words, "--budget", "100", "--concurrency", "8"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "100"},
    )  # fmt: skip


def charged(server) -> dict[str, int]:
    with sqlite3.connect(server.state) as db:
        rows = db.execute("SELECT prompt, COUNT(*) FROM generation WHERE tokens > 0 GROUP BY prompt").fetchall()
    db.close()
    return dict(rows)


def in_the_middle(server, process) -> None:
    ends = time.monotonic() + 30
    while len(charged(server)) < 20 and process.poll() is None and time.monotonic() < ends:
        time.sleep(0.02)
    assert process.poll() is None


@pytest.mark.slow
def test_killed_in_the_middle_and_run_again_each_row_is_bought_once(account):
    start = account.account.balance
    process = begun()
    in_the_middle(account, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    paid = len(charged(account))
    left_behind = Path("out.parquet").exists()
    process = begun()
    out, err = process.communicate(timeout=60)

    assert process.returncode == 0, out + err
    assert 20 <= paid < ROWS
    assert not left_behind
    assert charged(account) == {f"thing {i}: one line": 1 for i in range(ROWS)}
    assert start - account.account.balance == ROWS
    assert pd.read_parquet("out.parquet")["status"].tolist() == ["completed"] * ROWS
    assert "Traceback" not in err


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_there_and_the_next_run_buys_the_rest(account):
    process = begun()
    in_the_middle(account, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    frame = pd.read_parquet("out.parquet")
    bought = len(charged(account))
    second = begun()
    second.communicate(timeout=60)

    assert process.returncode == 130, out + err
    assert "Traceback" not in err
    assert "Run it again for the rest" in out
    assert set(frame["status"]) == {"completed", "not bought"}
    assert (frame["status"] == "completed").sum() == bought < ROWS, "what was under way is in it too"
    assert second.returncode == 0
    assert charged(account) == {f"thing {i}: one line": 1 for i in range(ROWS)}
