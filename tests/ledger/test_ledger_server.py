"""The ledger on a server that goes away, refuses, or loses the answer to a commit: nothing is bought twice or lost."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from cutting_proxy import Wire
from ledger_making import HERE, LIVE, by_hand, intent, reserve
from postgres_server import Server

from elumenta_nb._errors import LedgerError
from elumenta_nb._ledger import Ledger, Settlement, Taken, Where
from elumenta_nb._ledger.dialects import DIALECTS
from elumenta_nb._ledger.schema import MIGRATIONS

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def own():
    """A server that may be stopped; the session's serves other tests."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Server() as server:
        server.stop()
        server.start(port=port)
        yield server


@pytest.fixture
def wire(postgres):
    with Wire(postgres.folder / f".s.PGSQL.{postgres.port}") as wire:
        yield wire


def through(wire: Wire, url: str) -> str:
    """The same ledger, over the wire."""
    rest = url.partition("&options=")[2]
    return f"postgresql+psycopg://elumenta@127.0.0.1:{wire.port}/postgres?sslmode=disable&options={rest}"


class Once:
    """Cuts the first time a word goes by: before it arrives, or after the server has read it."""

    def __init__(self, word: bytes, verdict: str) -> None:
        self._word, self._verdict, self._done = word, verdict, False

    def __call__(self, piece: bytes, from_client: bool) -> str:
        if from_client and not self._done and self._word in piece:
            self._done = True
            return self._verdict
        return "pass"


class UnansweredCommit:
    """Lets the COMMIT arrive and keeps the answer back."""

    def __init__(self) -> None:
        self._sent = self._done = False

    def __call__(self, piece: bytes, from_client: bool) -> str:
        if from_client and b"COMMIT\0" in piece and not self._done:
            self._sent = True
        elif not from_client and self._sent and not self._done:
            self._done = True
            return "cut"
        return "pass"


WORDS = {
    "at the beginning": lambda: Once(b"pg_advisory", "cut"),
    "while budgets are read": lambda: Once(b"FROM budgets", "cut"),
    "while the row is written": lambda: Once(b"INTO calls", "pass and cut"),
    "before the commit arrives": lambda: Once(b"COMMIT\0", "cut"),
    "as the commit arrives": lambda: Once(b"COMMIT\0", "pass and cut"),
    "before the commit is answered": UnansweredCommit,
}


@pytest.mark.parametrize("moment", WORDS)
def test_a_connection_that_is_cut_reserves_once(postgres, wire, moment):
    with Ledger(through(wire, postgres.schema())) as ledger:
        ledger.set_budget(100, account="7", api=LIVE, origin=HERE)
        wire.judge = WORDS[moment]()
        first = reserve(ledger, once="row 1")
        assert wire.cuts == 1
        assert [entry.id for entry in ledger.open_calls()] == [first]
        assert ledger.budgets()[0].held == 13
        assert isinstance(reserve(ledger), int)
        assert ledger.check() == []


@pytest.mark.parametrize("moment", [name for name in WORDS if "row" not in name])
def test_a_connection_that_is_cut_settles_once(postgres, wire, moment):
    with Ledger(through(wire, postgres.schema())) as ledger:
        ledger.set_budget(100, account="7", api=LIVE, origin=HERE)
        call_id = reserve(ledger)
        wire.judge = WORDS[moment]()
        (state,) = ledger.settle([Settlement(call_id=call_id, tokens=9)])
        assert wire.cuts == 1
        assert (state.spent, state.held) == (9, 0)
        assert ledger.call(call_id).tokens == 9
        assert ledger.check() == []


def test_a_commit_that_nobody_can_ask_about_is_an_error_that_says_so(postgres, wire):
    url = postgres.schema()
    with Ledger(through(wire, url), busy_s=0.5) as ledger, Ledger(url) as other:
        first = reserve(ledger)
        judge = UnansweredCommit()

        def and_down(piece: bytes, from_client: bool) -> str:
            verdict = judge(piece, from_client)
            wire.down = wire.down or verdict == "cut"
            return verdict

        wire.judge = and_down
        with pytest.raises(LedgerError, match="went away while it was written to") as caught:
            ledger.settle([Settlement(call_id=first, tokens=9)])
        assert caught.value.spent == "maybe"
        assert "%elumenta recover" in caught.value.hint
        wire.down = False
        ledger.settle([Settlement(call_id=first, tokens=9)])
        assert other.call(first).tokens == 9
        assert other.totals((), Where())[0][1] == 9


def test_a_server_that_was_set_back_is_not_believed_to_have_kept_a_reservation(postgres, wire):
    """It has no word of the writer any more. To take that for a yes was to send a request without a row."""
    url = postgres.schema()
    with Ledger(through(wire, url), busy_s=10) as ledger, Ledger(url) as other:
        first = reserve(ledger)

        def and_down(piece: bytes, from_client: bool) -> str:
            wire.down = wire.down or (from_client and b"COMMIT\0" in piece)
            return "cut" if wire.down else "pass"

        def set_back() -> None:
            while not wire.down:
                time.sleep(0.01)
            by_hand(url, "DELETE FROM writers")
            wire.judge = lambda _piece, _from_client: "pass"
            wire.down = False

        wire.judge = and_down
        setting_back = threading.Thread(target=set_back)
        setting_back.start()
        with pytest.raises(LedgerError, match="went away while it was written to") as caught:
            ledger.reserve([intent()])
        setting_back.join()
        assert caught.value.spent == "no"
        assert [entry.id for entry in other.open_calls()] == [first]
        reserve(ledger)
        assert len(other.open_calls()) == 2


def test_a_commit_that_never_arrives_is_an_error_and_leaves_nothing(postgres, wire):
    url = postgres.schema()
    with Ledger(through(wire, url), busy_s=0.5) as ledger, Ledger(url) as other:
        first = reserve(ledger)
        wire.judge = lambda piece, from_client: "cut" if from_client and b"COMMIT\0" in piece else "pass"
        with pytest.raises(LedgerError, match=r"The (server of the )?ledger") as caught:
            ledger.reserve([intent()])
        assert caught.value.spent == "no"
        assert wire.cuts >= 1
        assert [entry.id for entry in other.open_calls()] == [first]


def test_a_reader_does_not_wait_for_a_writer_that_waits(postgres):
    url = postgres.schema()
    with Ledger(url) as ledger, Ledger(url) as other:
        ledger.set_budget(100, account="7", api=LIVE, origin=HERE)
        reserve(ledger)
        ledger.open_calls()
        with other._database.write() as tx:
            tx.all("SELECT no FROM budgets FOR UPDATE")
            writing = threading.Thread(target=reserve, args=(ledger,))
            writing.start()
            time.sleep(0.2)
            assert len(ledger.open_calls()) == 1
            assert writing.is_alive()
        writing.join()
        assert len(ledger.open_calls()) == 2


def test_reading_goes_on_after_a_connection_is_cut(postgres, wire):
    with Ledger(through(wire, postgres.schema())) as ledger:
        reserve(ledger)
        wire.judge = Once(b"FROM calls", "pass and cut")
        assert len(ledger.open_calls()) == 1
        assert wire.cuts == 1


@pytest.mark.slow
def test_a_wire_that_is_cut_again_and_again_neither_loses_a_row_nor_buys_twice(postgres, wire):
    url, dice = postgres.schema(), random.Random(5)
    asked: list[tuple[str, int]] = []
    with Ledger(url) as ledger:
        ledger.set_budget(10**6, account="7", api=LIVE, origin=HERE)

    def work(number: int) -> None:
        with Ledger(through(wire, url)) as ledger:
            ledger.open()
            gate.wait(30)
            for turn in range(25):
                key = f"row {turn}" if turn % 2 else f"row {turn} of {number}"
                (answer,) = ledger.reserve([intent(once=key)])
                if isinstance(answer, Taken):
                    continue
                asked.append((key, answer))
                ledger.settle([Settlement(call_id=answer, tokens=5)])

    def cut_sometimes() -> None:
        wire.judge = lambda piece, from_client: dice.choices(["pass", "cut", "pass and cut"], [300, 1, 1])[0]

    gate = threading.Barrier(4, action=cut_sometimes)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wire.cuts > 10
    with Ledger(url) as ledger:
        assert ledger.check() == []
        assert Counter(key for key, _id in asked) == Counter(
            [f"row {turn}" for turn in range(1, 25, 2)]
            + [f"row {turn} of {number}" for turn in range(0, 25, 2) for number in range(4)]
        )
        assert ledger.totals((), Where())[0][:3] == (len(asked), 5 * len(asked), 0)
        assert {entry for _key, entry in asked} == set(range_of(ledger))


def range_of(ledger: Ledger) -> list[int]:
    return ledger.columns({"id"}, Where()).facts["id"].tolist()


# ---------------------------------------------------------------- a server that stops


@pytest.mark.parametrize("crash", [False, True])
def test_a_ledger_goes_on_after_its_server_was_restarted(own, crash):
    with Ledger(own.database()) as ledger:
        call_id = reserve(ledger)
        own.stop(crash=crash)
        again = threading.Timer(0.7, own.start, kwargs={"port": own.port})
        again.start()
        ledger.settle([Settlement(call_id=call_id, tokens=9)])
        again.join()
        assert reserve(ledger) > call_id
        assert ledger.totals((), Where())[0][:3] == (2, 9, 13)
        assert ledger.check() == []


def test_connections_that_an_administrator_ends_are_made_anew(own):
    url = own.database()
    with Ledger(url) as ledger:
        reserve(ledger)
        assert ledger.open_calls()
        name = url.rpartition("/")[2] and url.split("@/")[1].partition("?")[0]
        assert own.drop_connections(name) == 2  # one that writes, one that reads
        assert len(ledger.open_calls()) == 1
        reserve(ledger)
        assert ledger.check() == []


def test_a_server_that_stays_away_is_said(own):
    url = own.database()
    with Ledger(url, busy_s=0.5) as ledger:
        call_id = reserve(ledger)
        own.stop()
        try:
            with pytest.raises(LedgerError, match="The server of the ledger") as caught:
                ledger.reserve([intent()])
            assert caught.value.spent == "no"
            with pytest.raises(LedgerError) as caught:
                ledger.settle([Settlement(call_id=call_id, tokens=1)])
            assert caught.value.spent == "maybe"
        finally:
            own.start(port=own.port)
        ledger.settle([Settlement(call_id=call_id, tokens=1)])


# ---------------------------------------------------------------- a server that refuses


def test_what_keeps_a_ledger_out_is_said_without_its_password(own):
    own.ask("CREATE ROLE anna LOGIN PASSWORD 'geheim'")
    there = own.database().split("@/")[1].partition("?")[0]
    for user, database, port, says, hint in (
        ("anna:falsch", there, own.port, "password authentication failed", "ELUMENTA_LEDGER_URL"),
        ("anna:geheim", "nosuch", own.port, 'database "nosuch" does not exist', "ELUMENTA_LEDGER_URL"),
        ("anna:geheim", there, 1, "Connection refused", "ELUMENTA_LEDGER_URL"),
        ("anna:geheim", there, own.port, "may not make or change its tables", "GRANT"),
    ):
        ledger = Ledger(f"postgresql+psycopg://{user}@127.0.0.1:{port}/{database}")
        began = time.monotonic()
        with pytest.raises(LedgerError, match=says) as caught:
            ledger.reserve([intent()])
        assert time.monotonic() - began < 5  # what was never reached is not waited for
        assert hint in caught.value.hint
        told = str(caught.value) + caught.value.hint + repr(caught.value.__cause__)
        assert not {"geheim", "falsch"} & set(told.replace(":", " ").replace("@", " ").split())
        assert (caught.value.spent, "***@127.0.0.1" in str(caught.value)) == ("no", True)


def test_a_ledger_held_by_another_program_is_waited_for_and_then_said(postgres):
    url = postgres.schema()
    with Ledger(url, busy_s=0.3) as ledger, Ledger(url) as other:
        reserve(ledger)
        with other._database.write() as tx:
            tx.run("LOCK TABLE calls")
            with pytest.raises(LedgerError, match="Another program") as caught:
                reserve(ledger)
            assert caught.value.spent == "no"
        assert reserve(ledger) == 2 or ledger.check() == []


def test_a_server_that_only_reads_is_said(postgres):
    url = postgres.schema()
    with Ledger(url) as ledger:
        reserve(ledger)
    with Ledger(url.replace("options=", "options=-cdefault_transaction_read_only%3Don%20")) as ledger:
        with pytest.raises(LedgerError, match="cannot be written"):
            reserve(ledger)


def test_a_commit_is_on_disk_also_where_the_server_would_not_wait_for_it(postgres):
    url = postgres.schema().replace("options=", "options=-csynchronous_commit%3Doff%20")
    with Ledger(url) as ledger, ledger._database.write() as tx:
        assert tx.one("SHOW synchronous_commit") == ("on",)


# ---------------------------------------------------------------- several at once


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_transactions_that_meet_are_run_again(postgres, isolation):
    """Two writers take the same keys in opposite order, which is a deadlock for one of them."""
    plain = postgres.schema()
    setting = f"-cdefault_transaction_isolation%3D{isolation.replace(' ', '%5C%20')}%20-cdeadlock_timeout%3D20ms%20"
    url = plain.replace("options=", f"options={setting}")
    gate = threading.Barrier(2)
    answers: list[object] = []
    errors: list[BaseException] = []

    def work(order: int) -> None:
        try:
            with Ledger(url) as ledger:
                ledger.open()
                for turn in range(10):
                    keys = [f"{turn} a", f"{turn} b"][::order]
                    gate.wait(30)
                    answers.extend(
                        answer for (answer,) in ledger.run([("reserve", [intent(once=key)]) for key in keys])
                    )
        except BaseException as error:
            errors.append(error)
            gate.abort()

    threads = [threading.Thread(target=work, args=(order,)) for order in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sum(isinstance(answer, int) for answer in answers) == 20
    assert sum(isinstance(answer, Taken) for answer in answers) == 20
    with Ledger(plain) as ledger:
        assert ledger.check() == []
        assert len(ledger.open_calls()) == 20


def first_schema(postgres) -> str:
    """A ledger of the first released schema, with a row."""
    url, words = postgres.schema(), DIALECTS["postgresql"]
    made = [statement.format(key=words["key"], rowless="") for statement in MIGRATIONS[0].statements]
    by_hand(
        url,
        *made,
        "CREATE TABLE migrations (number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, at_us BIGINT NOT NULL)",
        "INSERT INTO migrations VALUES (1, 'first', 0)",
        f"INSERT INTO places VALUES (1, 'd', '{LIVE}', '7', 'anna', '', 'n', 'c', '', '[]', 'magic')",
        "INSERT INTO models VALUES (1, 'image', 'dall-e-3', 'OpenAI')",
        "INSERT INTO kernels VALUES (1, 'k', 0)",
        "INSERT INTO calls VALUES (1, 1, 1, 1, 3, 0, 5, 6, 13, 0, 13, NULL, 1, 4711, 1, NULL, 5, NULL, 1, 0, NULL)",
        "INSERT INTO details VALUES (1, 'h', 'f1', 'p', '', '', 0, '', '{}', '[]', '')",
        "INSERT INTO sums VALUES (1, 1, 1, 13, 0, 0, 0, 0, 5, 5)",
        "SELECT setval(pg_get_serial_sequence('calls', 'id'), 1), setval(pg_get_serial_sequence('places', 'no'), 1),"
        " setval(pg_get_serial_sequence('models', 'no'), 1), setval(pg_get_serial_sequence('kernels', 'no'), 1)",
    )
    return url


def test_a_ledger_of_the_first_schema_is_brought_up_to_date_by_whoever_comes_first(postgres):
    url = first_schema(postgres)
    moment = time.time() + 1.0
    code = (
        "import sys, time; from elumenta_nb._ledger import Ledger;"
        "time.sleep(max(float(sys.argv[2]) - time.time(), 0)); ledger = Ledger(sys.argv[1]); ledger.open();"
        "print(ledger.call(1).tokens)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, url, str(moment)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [process.communicate(timeout=60)[0] for process in running] == ["13\n"] * 4
    assert by_hand(url, "SELECT number FROM migrations ORDER BY number") == [(m.number,) for m in MIGRATIONS]
    with Ledger(url) as ledger:
        assert [entry.id for entry in ledger.of_fingerprints("7", LIVE, ["f1"])["f1"]] == [1]
        reserve(ledger, once="row 1")
        assert ledger.check() == []


def test_a_server_with_a_newer_schema_is_left_alone(postgres):
    url = postgres.schema()
    with Ledger(url) as ledger:
        reserve(ledger)
    by_hand(url, f"INSERT INTO migrations VALUES ({len(MIGRATIONS) + 1}, 'future', 0)")
    with pytest.raises(LedgerError, match="newer"), Ledger(url) as ledger:
        reserve(ledger)
