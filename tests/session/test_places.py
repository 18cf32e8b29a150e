"""Places that cannot be written, and addresses that cannot be used: told before anything is sent, with what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import elumenta_nb as el
from elumenta_nb import sandbox
from elumenta_nb._cli import main
from elumenta_nb._session import Session
from elumenta_nb._values import Ask, Origin


@pytest.fixture(scope="module")
def server():
    with sandbox.serve(time_scale=0.002) as running:
        yield running


@pytest.fixture
def nowhere() -> Path:
    """A home that nobody can make, root neither: it would be below a file."""
    Path("file").write_text("this is no folder")
    return Path("file").absolute() / "home"


def buy(session: Session, **origin):
    return session.run(Ask(model="gpt-5", prompt="x"), Origin(**origin))


def refused(session: Session, server, error=el.LedgerError):
    """The error of a call, of which nothing reached the server's till."""
    before = server.account.balance
    with pytest.raises(error) as caught:
        buy(session)
    session.close()
    assert caught.value.spent == "no"
    assert server.account.balance == before
    return f"{caught.value}\n{caught.value.hint}"


def test_a_home_that_cannot_be_written_is_told_before_anything_is_sent(server, nowhere):
    told = refused(Session(home=nowhere, api_key=server.api_key, base_url=server.url), server)

    assert str(nowhere / "ledger.sqlite") in told
    assert "ELUMENTA_HOME" in told


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("sqlite:///{here}/file/deeper/ledger.db", ["file/deeper/ledger.db", "ELUMENTA_LEDGER_URL"]),
        ("sqlite:///{here}", ["cannot be written", "ELUMENTA_LEDGER_URL"]),
        ("sqlite://", ["needs a file"]),
        ("mysql://me:geheim@host/x", ["not mysql", "postgresql+psycopg://"]),
        ("postgresql+nosuch://me:geheim@host/x", ["its driver is not installed", "elumenta-nb[postgres]"]),
        ("postgresql+pg8000://me:geheim@host/x", ["its driver is not installed", "postgresql+psycopg://"]),
        ("no address", ["ELUMENTA_LEDGER_URL"]),
    ],
)
def test_an_address_of_a_ledger_that_cannot_be_used_says_what_to_do(server, nowhere, tmp_path, address, parts):
    url = address.format(here=Path.cwd())
    session = Session(home=tmp_path / "home", ledger_url=url, api_key=server.api_key, base_url=server.url)
    told = refused(session, server)

    assert [part for part in parts if part not in told] == []
    assert "geheim" not in told


def test_what_is_stored_is_shown_although_the_ledger_cannot_be_written(server, tmp_path, nowhere):
    live = {"api_key": server.api_key, "base_url": server.url, "media_dir": tmp_path / "media"}
    first = Session(home=tmp_path / "home", **live)
    (bought,) = buy(first, source="magic", source_hash="s", run="a")
    first.close()

    second = Session(home=nowhere, **live)
    (shown,) = buy(second, source="magic", source_hash="s", run="b")
    second.close()

    assert shown.reused
    assert shown.text == bought.text
    assert shown.receipt.call_id is None


def test_a_sandbox_that_cannot_keep_its_file_says_where(nowhere):
    session = Session(home=nowhere, mode="sandbox")
    with pytest.raises(el.ConfigError, match=r"sandbox\.sqlite") as caught:
        buy(session)

    assert "ELUMENTA_HOME" in caught.value.hint


@pytest.mark.parametrize("damage", ["garbage", "folder"])
def test_a_damaged_sandbox_says_that_it_may_be_removed(tmp_path, damage):
    state = tmp_path / "home" / "sandbox.sqlite"
    state.parent.mkdir()
    if damage == "folder":
        state.mkdir()
    else:
        state.write_bytes(b"no database" * 1000)

    with pytest.raises(el.ConfigError, match="cannot be used") as caught:
        buy(Session(home=tmp_path / "home", mode="sandbox"))
    assert "can be removed" in caught.value.hint


def test_a_port_that_is_taken_leaves_nothing_open(server, tmp_path):
    with pytest.raises(el.ConfigError):
        sandbox.serve(server.port, state=tmp_path / "state.sqlite")


def test_a_key_that_cannot_be_kept_is_told_with_the_other_way(nowhere):
    session = Session(home=nowhere, reuse="only")
    with pytest.raises(el.ConfigError, match="cannot be written") as caught:
        session.login("nb_abcdefghijklmnop")

    assert "ELUMENTA_API_KEY" in caught.value.hint
    assert session.logout() is False


def test_the_command_line_says_the_same_without_a_traceback(nowhere, monkeypatch, capsys):
    monkeypatch.setenv("ELUMENTA_HOME", str(nowhere))
    assert main(["spend"]) == 1
    assert main(["sandbox"]) == 1

    said = capsys.readouterr().err
    assert said.count("ELUMENTA_HOME") == 2
    assert "Traceback" not in said


@pytest.mark.parametrize("command", ["models", "help"])
def test_a_reader_that_has_read_enough_is_no_error(command):
    process = subprocess.Popen(
        [sys.executable, "-m", "elumenta_nb", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    _out, err = process.communicate(timeout=60)

    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err
