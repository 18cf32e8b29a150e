"""Who may work at a map, what travels to the workers and what does not, and how they are stopped."""

import _thread
import io
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace

import cloudpickle
import pandas as pd
import pytest
from distributed import Client

from elumenta_nb import BadParam, ConfigError, GenerationFailed
from elumenta_nb._batch import Spec, plan_map
from elumenta_nb._batch._cluster import Crew, deal_of
from elumenta_nb._batch._view import Show
from elumenta_nb._batch._worker import check, work
from elumenta_nb._keys import Address
from elumenta_nb._session import Session

TEMPLATE = "{{title}}: one line"


def goods(n: int) -> pd.DataFrame:
    return pd.DataFrame({"title": [f"thing {i}" for i in range(n)]}, index=[f"k{i}" for i in range(n)])


def mapped(session, client, n=12, **options):
    return session.map(goods(n), TEMPLATE, model="gpt-5-nano", scheduler=client, **{"budget": 100} | options)


def planned(session, n=4, **facts):
    made = plan_map(
        session,
        goods(n),
        Spec(model="gpt-5-nano", template=TEMPLATE, **facts),
        budget=None,
        max_price=None,
        concurrency=4,
    )
    return made._prepared


def deal(session, n=4, **facts):
    prepared = planned(session, n, **facts)
    made = deal_of(prepared, session, width=4, on_error="keep")
    made.probe.touch()
    return made, prepared


class Recording(Client):
    """A client that keeps what it sends, as it is pickled."""

    def __init__(self, *args, **options):
        self.sent = []
        super().__init__(*args, **options)

    def submit(self, *args, **options):
        self.sent.append(cloudpickle.dumps((args, options)))
        return super().submit(*args, **options)

    def run(self, *args, **options):
        self.sent.append(cloudpickle.dumps((args, options)))
        return super().run(*args, **options)


def test_rows_are_bought_by_the_workers_and_come_back_under_their_index(served, threads):
    session = Session()
    done = mapped(session, threads.client, 30, out="line")

    assert done.index.tolist() == [f"k{i}" for i in range(30)]
    assert [f"thing {i}: one line" in text for i, text in enumerate(done["line"])] == [True] * 30
    assert int(done["tokens"].sum()) == served.spent == 30
    assert session.last_map.frame.equals(done)
    assert session.last_map.result("k7").text == done["line"]["k7"]
    assert session.spend(columns="all")["source"].unique().tolist() == ["batch"]
    assert not [path for path in session.services().store.folder.iterdir() if path.suffix == ".part"]


def test_in_the_sandbox_the_workers_use_the_client_s(threads, monkeypatch):
    monkeypatch.setenv("ELUMENTA_MODE", "sandbox")
    session = Session()
    done = mapped(session, threads.client)

    assert done["status"].tolist() == ["completed"] * 12
    assert session.balance().tokens == 1500 - 12
    session.close()


@pytest.mark.postgres
def test_neither_the_key_nor_the_ledger_s_password_travels(served, threads, postgres, monkeypatch):
    monkeypatch.setenv("ELUMENTA_LEDGER_URL", postgres.schema().replace("elumenta@", "elumenta:pa55w0rd@"))
    session = Session()
    with Recording(threads.cluster) as client:
        done = mapped(session, client)
        sent = b"".join(client.sent)

    assert done["status"].tolist() == ["completed"] * 12
    assert len(client.sent) > 2
    assert b"thing 7" in sent, "the work is in what was looked at"
    assert served.server.api_key.encode() not in sent
    assert b"pa55w0rd" not in sent
    session.close()


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("postgresql+psycopg://me:secret@db/ledger", "postgresql+psycopg://me@db/ledger"),
        ("postgresql+psycopg://:secret@db/ledger", "postgresql+psycopg://@db/ledger"),
        ("postgresql+psycopg://me:a:b/c#d@db/ledger", "postgresql+psycopg://me@db/ledger"),
        ("postgresql+psycopg://me@db/x?password=secret", "postgresql+psycopg://me@db/x"),
        ("postgresql+psycopg://me@db/x?password=s&port=1", "postgresql+psycopg://me@db/x?port=1"),
        ("postgresql+psycopg://me@db/x?port=1&sslpassword=s", "postgresql+psycopg://me@db/x?port=1"),
        ("postgresql+psycopg://me@db/x?port=1", "postgresql+psycopg://me@db/x?port=1"),
        ("postgresql+psycopg://me:pa@ss/w@rd@db/ledger?port=1", "postgresql+psycopg://me@db/ledger?port=1"),
        ("sqlite:////home/me/ledger.sqlite", "sqlite:////home/me/ledger.sqlite"),
    ],
)
def test_a_password_is_taken_out_of_the_ledger_s_address_wherever_it_stands(url, bare):
    assert Address(url).bare == bare
    assert not re.search("secret|ss/w", Address(url).shown)


# -------------------------------------------------------------------- who may not


def test_a_worker_without_a_key_is_named_before_anything_is_bought(served, threads, monkeypatch):
    session = Session(api_key=served.server.api_key)
    monkeypatch.delenv("ELUMENTA_API_KEY")

    with pytest.raises(ConfigError, match=r"Worker tcp://127.0.0.1:\d+: it has no API key") as error:
        mapped(session, threads.client)

    assert "ELUMENTA_API_KEY" in error.value.hint
    assert served.spent == 0
    assert session.budget_states() == []
    session.close()


def test_a_worker_with_the_key_of_another_account_buys_nothing(served, threads, monkeypatch):
    session = Session(api_key=served.server.api_key)
    monkeypatch.setenv("ELUMENTA_API_KEY", served.server.add_account())

    with pytest.raises(ConfigError, match="another account"):
        mapped(session, threads.client, on_error="raise")

    assert served.spent == 0
    assert sum(served.charged().values()) == 0
    session.close()


def test_a_ledger_in_a_file_and_a_sandbox_are_for_workers_of_this_machine(served, tmp_path):
    session = Session()
    made, _prepared = deal(session)

    check(made)
    with pytest.raises(ConfigError, match="on another machine") as error:
        check(replace(made, machine="another"))
    assert "ledger.sqlite" in str(error.value)
    session.close()


def test_a_worker_that_does_not_see_the_folder_is_told_so(served, tmp_path):
    session = Session()
    made, _prepared = deal(session)

    with pytest.raises(ConfigError, match="does not see the folder") as error:
        check(replace(made, folder=str(tmp_path)))
    assert "ELUMENTA_MEDIA_DIR" in error.value.hint
    with pytest.raises(ConfigError, match=r"elumenta-nb 0\.0\.0|made by 9\.9"):
        check(replace(made, version="9.9"))
    session.close()


def test_a_worker_whose_ledger_is_another_is_told_which(served, monkeypatch):
    session = Session()
    made, _prepared = deal(session)
    ours = "postgresql+psycopg://me@db/ledger"
    private = replace(made, ledger=ours, ledger_is_private=True)

    with pytest.raises(ConfigError, match="not set") as error:
        check(private)
    assert "ELUMENTA_LEDGER_URL" in error.value.hint
    monkeypatch.setenv("ELUMENTA_LEDGER_URL", "postgresql+psycopg://me:secret@other/ledger")
    with pytest.raises(ConfigError, match="other/ledger") as error:
        check(private)
    assert "secret" not in str(error.value)
    monkeypatch.setenv("ELUMENTA_LEDGER_URL", "postgresql+psycopg://me:secret@db/ledger")
    check(private)
    session.close()


def test_what_is_no_client_of_dask_is_refused(served, monkeypatch):
    session = Session()
    with pytest.raises(BadParam, match="Client of Dask, not str"):
        mapped(session, "tcp://somewhere")
    monkeypatch.setitem(sys.modules, "distributed", None)  # as Python finds what is not installed
    with pytest.raises(ConfigError, match="needs Dask") as error:
        mapped(session, "tcp://somewhere")
    assert "elumenta-nb[batch]" in error.value.hint
    session.close()


# -------------------------------------------------------------------- repeated, refused, stopped


@pytest.mark.parametrize("reuse", ["all", "off"])
def test_a_part_that_is_repeated_buys_nothing_again_and_tells_the_same(reuse, served, threads):
    session = Session()
    made, prepared = deal(session, 6, reuse=reuse)
    spec, frame = prepared.rows.spec, goods(6)

    first = threads.client.submit(work, made, spec, frame, 3, pure=False).result()
    second = threads.client.submit(work, made, spec, frame, 3, pure=False).result()

    assert served.spent == 6
    assert second.cells == first.cells
    assert [cells.tokens for cells in second.cells] == [1] * 6
    session.close()


def test_parts_that_run_at_the_same_time_buy_an_equal_row_once(served, threads):
    session = Session()
    made, prepared = deal(session, 10)
    parts = [threads.client.submit(work, made, prepared.rows.spec, goods(10), part, pure=False) for part in range(2)]

    told = [future.result() for future in parts]

    assert served.spent == 10
    assert [cells.status for part in told for cells in part.cells] == ["completed"] * 20
    assert sum(cells.tokens for part in told for cells in part.cells) == 10
    session.close()


def test_a_budget_holds_for_all_workers_together_and_is_used_up(served, threads):
    session = Session()
    done = mapped(session, threads.client, 40, budget=25, concurrency=8)

    assert served.spent == 25
    assert done["status"].value_counts()[["completed", "not bought"]].tolist() == [25, 15]
    assert mapped(session, threads.client, 40, budget=40)["tokens"].sum() == 15
    session.close()


def test_the_first_error_is_raised_where_that_was_asked_for(served, threads):
    served.server.fault("fail", path="/generate*", times=50)
    session = Session()

    with pytest.raises(GenerationFailed):
        mapped(session, threads.client, 40, on_error="raise", concurrency=4)

    assert served.spent == 0
    assert "not bought" in set(session.last_map.frame["status"])
    session.close()


@pytest.mark.slow
def test_an_interrupt_stops_the_workers_within_seconds_and_keeps_what_is_there(served, threads):
    session = Session()

    def interrupt():
        ends = time.monotonic() + 20
        while sum(served.charged().values()) < 12 and time.monotonic() < ends:
            time.sleep(0.02)
        at.append(time.monotonic())
        _thread.interrupt_main()

    at: list[float] = []
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        mapped(session, threads.client, 90, concurrency=4)
    took_s = time.monotonic() - at[0]
    thread.join()
    frame, bought = session.last_map.frame, served.spent
    time.sleep(1.5)

    assert took_s < 8
    assert served.spent == bought < 90, "nobody buys on"
    assert set(frame["status"]) == {"completed", "not bought"}
    assert int((frame["status"] == "completed").sum()) == int(frame["tokens"].sum()) == bought
    assert session.last_map.stopped == "stopped by you"
    assert mapped(session, threads.client, 90)["tokens"].sum() == 90 - bought
    assert set(served.charged().values()) == {1}
    session.close()


@pytest.mark.slow
def test_when_the_kernel_that_asked_is_killed_the_workers_stop_and_its_next_run_buys_the_rest(served, threads):
    program = (
        "import sys, pandas as pd, elumenta_nb as el; from distributed import Client;"
        f" el.map(pd.DataFrame({{'title': [f'thing {{i}}' for i in range(90)]}}), {TEMPLATE!r}, model='gpt-5-nano',"
        " budget=100, concurrency=4, scheduler=Client(sys.argv[1]))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, threads.cluster.scheduler_address])
    ends = time.monotonic() + 30
    while sum(served.charged().values()) < 12 and time.monotonic() < ends and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.wait(10)
    time.sleep(3)
    bought = served.spent
    time.sleep(1.5)
    session = Session()
    rest = mapped(session, threads.client, 90)

    assert 12 <= bought < 60
    assert bought + int(rest["tokens"].sum()) == served.spent == 90
    assert set(served.charged().values()) == {1}
    assert set(rest["status"]) == {"completed"}
    session.close()


@pytest.mark.slow
def test_the_line_moves_while_the_parts_are_with_the_workers(served, threads):
    session = Session()
    prepared = planned(session, 40)
    crew = Crew(prepared, session, threads.client, concurrency=4, on_error="keep")
    terminal = io.StringIO()
    crew.begin()
    crew.run(Show(crew.board, crew, terminal=terminal))

    done = [int(n) for n in re.findall(r"(\d+) of 40 calls", terminal.getvalue())]
    assert done == sorted(done)
    assert len(set(done)) >= 4
    assert re.search(r"\d+ tokens · \d+ a second · .* left", terminal.getvalue())
    session.close()


@pytest.mark.slow
def test_the_account_s_hour_is_shared_by_all_workers(served, threads):
    served.server.control("limit", "30")
    session = Session()

    def interrupt():
        ends = time.monotonic() + 20
        while sum(served.charged().values()) < 30 and time.monotonic() < ends:
            time.sleep(0.02)
        time.sleep(2)
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        mapped(session, threads.client, 80, concurrency=8)
    thread.join()
    sent = [seen for seen in served.server.seen if seen.method == "POST" and "/generate" in seen.path]

    assert served.spent == 30
    assert 30 <= len(sent) <= 34, "requests that were sure to be refused were not sent"
    session.close()
