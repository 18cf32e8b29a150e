from __future__ import annotations

import multiprocessing
import os
import pickle
import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from ledger_making import HERE, LIVE, Clock, intent, reserve
from sqlalchemy import create_engine, inspect

from elumenta_nb._errors import LedgerError
from elumenta_nb._journal import journal_for
from elumenta_nb._ledger import Ledger, Settlement
from elumenta_nb._ledger.schema import MIGRATIONS, VERSION

RELEASED = Path(__file__).parent / "released"


def url(path: Path) -> str:
    return f"sqlite:///{path}"


# ---------------------------------------------------------------- opening


def test_nothing_is_touched_before_the_first_use(tmp_path):
    Ledger(url(tmp_path / "home" / "ledger.db"))
    assert list(tmp_path.iterdir()) == []


def test_folder_and_file_are_made_for_their_owner_alone(tmp_path):
    old = os.umask(0)
    try:
        with Ledger(url(tmp_path / "home" / "ledger.db")) as ledger:
            reserve(ledger)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "home").iterdir()}
            assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    finally:
        os.umask(old)
    assert modes == dict.fromkeys(modes, 0o600)
    assert "ledger.db" in modes


def test_a_commit_is_durable(tmp_path):
    with Ledger(url(tmp_path / "ledger.db")) as ledger, ledger._database.write() as tx:
        assert tx.one("PRAGMA synchronous") == (2,)
        assert tx.one("PRAGMA journal_mode") == ("wal",)


MOUNTS = """\
22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:40 / /home rw - nfs4 server:/home rw
31 30 254:1 / /home/local rw - xfs /dev/vdb rw
32 22 0:41 / /mnt/with\\040space rw shared:1 - fuse.sshfs host:/ rw
33 22 0:42 / /mnt/ntfs rw - fuseblk /dev/sdb rw
34 22 0:43 / /mnt/over rw - ext4 /dev/vdc rw
35 22 0:44 / /mnt/over rw - cifs //server/share rw
a broken line
"""


@pytest.mark.parametrize(
    ("folder", "journal"),
    [
        ("/root", "WAL"),
        ("/home/anna/.local", "TRUNCATE"),
        ("/home/local/anna", "WAL"),
        ("/homework", "WAL"),
        ("/mnt/with space/x", "TRUNCATE"),
        ("/mnt/ntfs", "WAL"),
        ("/mnt/over/x", "TRUNCATE"),
    ],
)
def test_a_network_file_system_gets_a_rollback_journal(folder, journal):
    assert journal_for(Path(folder), MOUNTS) == journal
    assert journal_for(Path(folder), "") == "WAL"


def test_a_ledger_works_with_a_rollback_journal_and_moves_from_wal(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger(url(path)) as ledger:
        reserve(ledger)
        assert ledger.journal == "WAL"
    with Ledger(url(path), mounts=f"1 0 0:1 / {tmp_path} rw - nfs4 server:/ rw") as ledger:
        assert ledger.journal == "TRUNCATE"
        ledger.settle([Settlement(call_id=1, tokens=13)])
        reserve(ledger)
        with ledger._database.write() as tx:
            assert tx.one("PRAGMA journal_mode") == ("truncate",)
        assert ledger.check() == []


def test_a_ledger_that_is_moved_away_while_open_is_made_anew(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger(url(path)) as ledger:
        reserve(ledger)
        for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
            (tmp_path / name).rename(tmp_path / f"old-{name}")
        assert reserve(ledger) == 1
        assert ledger.check() == []
    with Ledger(url(path)) as again, Ledger(url(tmp_path / "old-ledger.db")) as old:
        assert len(again.open_calls()) == len(old.open_calls()) == 1


def test_threads_share_a_ledger(place):
    with Ledger(place) as ledger:
        ledger.set_budget(130, account="7", api=LIVE, origin=HERE)
        got: list[object] = []
        threads = [
            threading.Thread(target=lambda: got.extend(ledger.reserve([intent()] * 2) + ledger.open_calls()[:0]))
            for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(isinstance(item, int) for item in got) == 10
        assert ledger.check() == []


def _in_a_fork(ledger: Ledger, pipe) -> None:
    pipe.send((reserve(ledger, model="photon"), len(ledger.open_calls())))


def test_a_forked_child_opens_its_own_connection(place):
    with Ledger(place) as ledger:
        reserve(ledger)
        here, there = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=_in_a_fork, args=(ledger, there))
        child.start()
        assert here.recv() == (2, 2)
        child.join()
        assert reserve(ledger) == 3
        assert ledger.check() == []


# ---------------------------------------------------------------- migrations


def _schema(path: Path) -> dict[str, object]:
    engine = create_engine(url(path))
    found = inspect(engine)
    schema = {
        table: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(table)],
            sorted(index["name"] for index in found.get_indexes(table)),
        )
        for table in [*found.get_table_names(), *found.get_view_names()]
    }
    engine.dispose()
    return schema


def test_migrations_are_numbered_without_a_gap():
    assert [migration.number for migration in MIGRATIONS] == list(range(1, VERSION + 1))


@pytest.mark.parametrize("released", sorted(path.name for path in RELEASED.glob("*.sql")))
def test_a_ledger_of_every_released_schema_opens_with_its_rows(tmp_path, released):
    old = sqlite3.connect(tmp_path / "old.db")
    old.executescript((RELEASED / released).read_text(encoding="utf-8"))
    before = old.execute("SELECT COUNT(*), SUM(tokens), SUM(held) FROM calls").fetchone()
    old.close()
    with Ledger(url(tmp_path / "old.db")) as ledger, Ledger(url(tmp_path / "new.db")) as blank:
        blank.open()
        calls, tokens, held, *_rest = ledger.totals((), _everything())[0]
        assert (calls, tokens, held) == before
        assert ledger.check() == []
        entry = ledger.call(1)
        assert (entry.status, entry.tokens, entry.generation_id, entry.origin.tags) == (
            "completed", 13, 4711, ("demo", "hero")
        )  # fmt: skip
        again = reserve(ledger, once="row 1", origin=HERE)  # an old place is known again
        assert ledger.reserve([intent(once="row 1")])[0].entry.id == again
        assert len(ledger.totals(("notebook", "cell_id", "source"), _everything())) == 2
        assert 1 in {entry.id for entry in ledger.of_fingerprints("7", LIVE, [entry.fingerprint])[entry.fingerprint]}
    assert _schema(tmp_path / "old.db") == _schema(tmp_path / "new.db")


def _everything():
    from elumenta_nb._ledger import Where

    return Where()


def test_each_migration_leaves_its_record(tmp_path):
    with Ledger(url(tmp_path / "ledger.db")) as ledger:
        ledger.open()
    con = sqlite3.connect(tmp_path / "ledger.db")
    assert con.execute("SELECT number, name FROM migrations").fetchall() == [(m.number, m.name) for m in MIGRATIONS]
    con.close()


def test_a_schema_newer_than_the_code_says_to_upgrade_and_is_left_alone(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger(url(path)) as ledger:
        reserve(ledger)
    con = sqlite3.connect(path)
    con.execute("INSERT INTO migrations VALUES (?, 'future', 0)", (VERSION + 1,))
    con.commit()
    con.close()
    ledger = Ledger(url(path))
    with pytest.raises(LedgerError, match="newer") as caught:
        reserve(ledger)
    assert "upgrade" in caught.value.hint
    assert caught.value.spent == "no"


# ---------------------------------------------------------------- what can be wrong


def test_a_folder_that_cannot_be_made_says_what_to_set(tmp_path):
    (tmp_path / "file").write_text("")
    ledger = Ledger(url(tmp_path / "file" / "home" / "ledger.db"))
    with pytest.raises(LedgerError, match="cannot be written") as caught:
        reserve(ledger)
    assert "ELUMENTA_HOME" in caught.value.hint
    assert "ELUMENTA_LEDGER_URL" in caught.value.hint
    assert caught.value.spent == "no"


def test_a_file_that_cannot_be_written_says_what_to_set(tmp_path):
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises(LedgerError, match=r"ledger\.db") as caught:
        Ledger(url(tmp_path / "ledger.db")).open()
    assert "ELUMENTA_HOME" in caught.value.hint


def test_a_read_only_database_says_what_to_set(tmp_path):
    with Ledger(url(tmp_path / "ledger.db")) as ledger:
        reserve(ledger)
        with ledger._database.write() as tx:
            tx.all("PRAGMA query_only = 1")
        with pytest.raises(LedgerError, match="cannot be written") as caught:
            reserve(ledger)
        assert "ELUMENTA_HOME" in caught.value.hint


@pytest.mark.parametrize("damage", [b"not a database at all " * 400, b"SQLite format 3\0" + b"\xff" * 9000])
def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path, damage):
    path = tmp_path / "ledger.db"
    path.write_bytes(damage)
    with pytest.raises(LedgerError, match=r"ledger\.db.* is damaged") as caught:
        Ledger(url(path)).open()
    assert "mv " in caught.value.hint
    assert path.read_bytes() == damage


def test_a_page_that_is_damaged_later_is_said_too(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger(url(path)) as ledger:
        for _ in range(3):
            ledger.reserve([intent(prompt_hash="x" * 3000)] * 50)
    whole = bytearray(path.read_bytes())
    whole[8192:-4096] = b"\x00" * (len(whole) - 8192 - 4096)
    path.write_bytes(whole)
    with pytest.raises(LedgerError, match="is damaged"), Ledger(url(path)) as ledger:
        ledger.check()
        ledger.open_calls()


def test_a_full_disk_takes_nothing_back_and_says_so(tmp_path):
    with Ledger(url(tmp_path / "ledger.db")) as ledger:
        first = reserve(ledger)
        with ledger._database.write() as tx:
            (pages,) = tx.one("PRAGMA page_count") or (0,)
            tx.all(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(LedgerError, match="no room left") as caught:
            ledger.reserve([intent(prompt_hash="x" * 9000)])
        assert caught.value.spent == "no"
        assert [entry.id for entry in ledger.open_calls()] == [first]
        with pytest.raises(LedgerError) as caught:
            ledger.settle([Settlement(call_id=first, tokens=13, media=("x" * 9000,))])
        assert caught.value.spent == "maybe"
        with ledger._database.write() as tx:
            tx.all("PRAGMA max_page_count = 1000000")
        ledger.settle([Settlement(call_id=first, tokens=13)])
        assert ledger.check() == []


def test_a_ledger_held_by_another_program_is_waited_for_and_then_said(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger(url(path), busy_s=0.2) as ledger:
        reserve(ledger)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="Another program") as caught:
            reserve(ledger)
        assert caught.value.spent == "no"
        assert len(ledger.open_calls()) == 1  # reading goes on
        other.execute("ROLLBACK")
        other.close()
        assert reserve(ledger) == 2


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("nonsense", "cannot be read"),
        ("", "cannot be read"),
        ("mysql://me:hunter2@host/db", "SQLite or PostgreSQL"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
    ],
)
def test_an_address_that_cannot_be_is_refused_without_its_password(address, says):
    with pytest.raises(LedgerError, match=says) as caught:
        Ledger(address)
    assert "hunter2" not in str(caught.value) + caught.value.hint
    assert caught.value.__cause__ is None


def test_a_password_is_never_shown():
    ledger = Ledger("postgresql+psycopg://me:hunter2@127.0.0.1:1/db?password=hunter2&sslpassword=hunter2")
    with pytest.raises(LedgerError) as caught:
        ledger.open()
    shown = repr(ledger) + repr(ledger._database) + str(caught.value) + caught.value.hint + repr(caught.value.__cause__)
    assert "hunter2" not in shown
    assert "127.0.0.1" in repr(ledger)
    assert (ledger.remote, ledger.path, ledger.journal) == (True, None, "")


def test_a_ledger_is_not_pickled(tmp_path):
    ledger = Ledger(url(tmp_path / "ledger.db"), clock=Clock())
    for thing in (ledger, ledger._database):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(thing)
