"""Faults of the machine under a purchase: disk, database, clock, network, fork, exit. Each ends in a clear error or a right
result, and afterwards the ledger says to the token what the server took.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from strange_api import StrangeApi, Told
from till_api import KEY, PRICE, Quick, Till, at_once, books, session_at

import elumenta_nb as el
from elumenta_nb import sandbox
from elumenta_nb._values import Ask, Origin

PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0"
    b"\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82"
)
PICTURE = PNG + bytes(200_000)

pytestmark = pytest.mark.slow


@pytest.fixture
def till():
    with Till() as running:
        yield running


@pytest.fixture
def session(till, tmp_path):
    made = session_at(till, tmp_path / "home")
    yield made
    with contextlib.suppress(el.ElumentaError):
        made.close()


def buy(session: el.Session, prompt: str = "hello", **ask: Any) -> el.Result | el.ElumentaError:
    """The result or the typed error, which must be short enough for a cell."""
    try:
        return session.run(Ask(**{"model": "gpt-5", "prompt": prompt, **ask}), Origin(source="python"))[0]
    except el.ElumentaError as error:
        lines = "\n".join(error._render_traceback_()).splitlines()
        assert 2 <= len(lines) <= 10
        assert any("charged" in line for line in lines)
        return error


def mended(till: Till, home: Path, **settings: Any) -> tuple[int, int]:
    """What the books say after what a person does: a new kernel, and recover."""
    session = session_at(till, home, **settings)
    try:
        session.reconcile()
        return books(session)
    finally:
        session.close()


# ------------------------------------------------------------------ a full disk


class FullDisk:
    """From now on no file grows beyond what is left: as on a full disk, for this process alone."""

    def __init__(self) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self._handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(self, left: int = 1) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (left, self._before[1]))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)

    def end(self) -> None:
        self.free()
        signal.signal(signal.SIGXFSZ, self._handler)


@pytest.fixture
def disk():
    made = FullDisk()
    yield made
    made.end()


def test_a_disk_that_is_full_before_a_call_sends_nothing(till, session, disk):
    session.balance()
    buy(session, "the first")
    disk.fill()
    error = buy(session, "the second")
    disk.free()

    assert isinstance(error, el.ElumentaError)
    assert error.spent == "no"
    assert "disk" in str(error)
    assert "full" in error.hint
    assert till.taken == PRICE == books(session)[0]


@pytest.mark.parametrize("stream", [False, True], ids=["reply", "stream"])
def test_a_disk_that_fills_up_while_the_answer_comes_loses_neither_text_nor_charge(
    till, session, disk, tmp_path, stream
):
    """The row is on disk, the settlement cannot be written: the text is shown and the row stays open for recover."""

    def twist(what: str, obj: Any) -> Any:
        if what in ("generate", "stream"):
            disk.fill()
        return obj

    till.twist = twist
    outcome = buy(session, "paid", stream=stream)
    disk.free()
    till.twist = lambda _what, obj: obj
    if isinstance(outcome, el.Result):
        assert outcome.text == "the answer"
        assert "recover" in outcome.receipt.note or "not" in outcome.receipt.note
    else:
        assert outcome.spent in ("maybe", "yes")
        assert "recover" in outcome.hint or "room" in str(outcome)
    session.close()

    assert mended(till, tmp_path / "home") == (till.taken, 0) == (PRICE, 0)


def test_a_disk_that_fills_up_while_a_file_comes_keeps_the_charge_and_fetches_it_later_for_nothing(
    till, session, disk, tmp_path
):
    till.picture = PICTURE
    full = [True]

    def twist(what: str, obj: Any) -> Any:
        if what == "generate":
            till.made[-1] |= {"result_text": None, "result_url": f"{till.origin}/media/a.png"}
            return till.made[-1]
        if what == "media" and full[0]:
            disk.fill(100_000)  # enough for the ledger, not for the picture
        return obj

    till.twist = twist
    error = buy(session, "a cat", model="dall-e-3")
    disk.free()
    assert isinstance(error, el.DownloadFailed)
    assert (error.spent, error.tokens) == ("yes", PRICE)
    assert [path for path in (tmp_path / "home" / "media").rglob("*") if path.is_file()] == []
    full[0] = False
    shown = session.show(error.call_id)

    assert shown.path.read_bytes() == PICTURE
    assert len(till.made) == 1
    assert mended(till, tmp_path / "home") == (PRICE, 0)


def test_a_store_that_cannot_be_written_any_more_shows_the_text_that_was_paid_or_sends_nothing(till, tmp_path, disk):
    session = session_at(till, tmp_path / "home", reuse="all", media_dir=tmp_path / "media")
    buy(session, "warm")
    (tmp_path / "media").rename(tmp_path / "gone")
    (tmp_path / "media").write_text("a file where the folder was")
    (tmp_path / "home" / "media").write_text("and here")
    outcome = buy(session, "kept")
    session.close()

    assert isinstance(outcome, el.Result) or outcome.spent == "no"
    assert mended(till, tmp_path / "home") == (till.taken, 0)


# ------------------------------------------------------------------ a ledger that breaks under a call


def garbage(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(0)
        file.write(os.urandom(path.stat().st_size))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def removed(path: Path) -> None:
    for name in path.parent.glob("ledger.sqlite*"):
        name.unlink()


def dropped(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for (name,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall():
            with contextlib.suppress(sqlite3.Error):
                connection.execute(f'drop table "{name}"')
        connection.commit()


@pytest.mark.parametrize("damage", [garbage, cut, removed])
def test_a_ledger_that_breaks_between_two_kernels_is_named_and_nothing_is_sent_or_it_is_made_anew(
    till, tmp_path, damage
):
    session = session_at(till, tmp_path / "home")
    buy(session, "before")
    session.close()
    damage(tmp_path / "home" / "ledger.sqlite")
    sent = len(till.made)
    session = session_at(till, tmp_path / "home")
    outcome = buy(session, "after")
    session.close()

    if isinstance(outcome, el.Result):
        assert damage is removed
    else:
        assert outcome.spent == "no"
        assert "ledger.sqlite" in str(outcome)
        assert "damaged" in f"{outcome}\n{outcome.hint}"
        assert len(till.made) == sent
        for name in (tmp_path / "home").glob("ledger.sqlite*"):
            name.rename(name.with_name(name.name.replace("ledger.sqlite", "old")))
    session = session_at(till, tmp_path / "home")
    session.reconcile(elsewhere=True)
    assert books(session) == (till.taken, 0)  # what the lost ledger held comes back from the account's history
    session.close()


@pytest.mark.parametrize("damage", [removed, dropped, garbage])
def test_a_ledger_that_breaks_while_the_answer_comes_shows_what_was_paid(till, session, tmp_path, damage):
    def twist(what: str, obj: Any) -> Any:
        if what == "generate":
            damage(tmp_path / "home" / "ledger.sqlite")
            for name in (tmp_path / "home").glob("ledger.sqlite-*"):
                if damage is garbage:
                    garbage(name)
        return obj

    session.balance()
    till.twist = twist
    outcome = buy(session, "paid")
    till.twist = lambda _what, obj: obj
    with contextlib.suppress(el.ElumentaError):
        session.close()
    for name in (tmp_path / "home").glob("ledger.sqlite*"):
        name.rename(name.with_name(name.name.replace("ledger.sqlite", "old")))

    assert isinstance(outcome, el.Result) or outcome.spent in ("maybe", "yes")
    if isinstance(outcome, el.Result):
        assert outcome.text == "the answer"
    again = session_at(till, tmp_path / "home")
    again.reconcile(elsewhere=True)
    assert books(again) == (PRICE, 0)
    again.close()


# ------------------------------------------------------------------ the clock


DAY = 24 * 3600


@pytest.mark.parametrize("lost", [False, True], ids=["answered", "answer lost"])
@pytest.mark.parametrize("jump", [-400 * DAY, -DAY, -3600, 3600, DAY, 40 * DAY])
def test_a_clock_that_jumps_under_a_call_neither_loses_nor_doubles_it(till, tmp_path, jump, lost):
    """Set by hand, by a sleep of the laptop, by NTP: between the reservation and the answer."""
    offset = [0.0]

    def clock() -> float:
        return time.time() + offset[0]

    class Jumping(Quick):
        def ledger(self) -> Any:
            from elumenta_nb._ledger import Ledger

            if self._ledger is None:
                self._ledger = Ledger(self._settings.ledger(), clock=clock)
            return self._ledger

    def made() -> el.Session:
        session = Jumping(api_key=KEY, base_url=till.url, home=tmp_path / "home", reuse="off")
        client = session.services().client
        client._sleep, client._clock, client._line._clock = at_once, clock, clock
        return session

    def twist(what: str, obj: Any) -> Any:
        date = {"date": datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")}
        if what == "generate":
            offset[0] = jump
            if lost:
                return Told(b"", 502, date)
        return Told(obj, headers=date) if isinstance(obj, dict) else obj

    till.twist = twist
    session = made()
    session.budget(PRICE * 3, per="day")
    outcome = buy(session, "under a jump")
    assert isinstance(outcome, el.Result) or outcome.spent == "maybe"
    till.twist = lambda what, obj: obj if what == "generate" else twist(what, obj)
    second = buy(session, "after it")
    session.close()
    session = made()
    session.reconcile()
    frame = session.spend(columns="all")
    session.close()

    assert isinstance(second, el.Result)
    assert (int(frame["tokens"].sum()), int(frame["held"].sum())) == (till.taken, 0) == (2 * PRICE, 0)
    assert frame["latency_s"].dropna().between(0, 60).all()


# ------------------------------------------------------------------ the way to the server


def refuses(tmp_path: Path) -> dict[str, str]:
    return {"base_url": "http://127.0.0.1:9/api/v2"}


def unknown(tmp_path: Path) -> dict[str, str]:
    return {"base_url": "https://no-such-host.invalid/api/v2"}


def proxied(answer: Told) -> Any:
    return StrangeApi(lambda heard: answer if heard.method == "CONNECT" else None)


PROXIES = {
    "asks for a password": Told(b"", 407, {"proxy-authenticate": "Basic"}),
    "forbids": Told(b"<html>blocked by policy</html>", 403, {"content-type": "text/html"}),
    "finds no way": Told(b"", 502),
    "gives up": Told(b"", 504),
    "answers 200 and talks nonsense": Told(b"this is not TLS" * 100),
}


@pytest.mark.parametrize("kind", PROXIES)
def test_a_proxy_in_the_way_is_said_and_nothing_is_booked(tmp_path, monkeypatch, kind):
    with proxied(PROXIES[kind]) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:geheim@127.0.0.1:{proxy.port}")
        session = Quick(api_key=KEY, base_url="https://api.invalid/api/v2", home=tmp_path, reuse="off")
        session.services().client._sleep = at_once
        error = buy(session)
        report = session.doctor()
        booked = books(session)
        session.close()

    assert isinstance(error, el.TransportError)
    assert (error.spent, booked) == ("no", (0, 0))
    assert "doctor" in error.hint
    assert "geheim" not in f"{error} {error.hint} {report!r}"
    assert any("proxy" in finding.text for finding in report.problems)


def test_a_certificate_nobody_vouches_for_is_said_and_nothing_is_booked(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parents[1] / "client" / "tls" / "server.pem")
    with StrangeApi(tls=context) as api:
        session = Quick(api_key=KEY, base_url=api.url, home=tmp_path, reuse="off")
        session.services().client._sleep = at_once
        error = buy(session)
        report = session.doctor()
        booked = books(session)
        session.close()

    assert (error.spent, booked, api.heard) == ("no", (0, 0), [])
    assert any("certificate" in finding.text for finding in report.problems)


@pytest.mark.parametrize("where", [refuses, unknown])
def test_a_server_that_is_not_there_is_said_and_nothing_is_booked(tmp_path, where):
    session = Quick(api_key=KEY, home=tmp_path, reuse="off", **where(tmp_path))
    session.services().client._sleep = at_once
    error = buy(session)
    booked = books(session)
    session.close()

    assert isinstance(error, el.TransportError)
    assert (error.spent, booked) == ("no", (0, 0))
    assert "Nothing was charged." in "\n".join(error._render_traceback_())


# ------------------------------------------------------------------ processes


def child_buys(session: el.Session, prompts: list[str], done: Any) -> None:
    try:
        done.put([buy(session, prompt).tokens for prompt in prompts])
    except BaseException as error:  # told to the parent
        done.put(repr(error))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_forked_from_a_session_in_use_buys_for_itself_and_both_are_booked(till, session):
    """What multiprocessing does on Linux; the connections, the loop and the ledger of the parent are not the child's."""
    buy(session, "before the fork")
    fork = multiprocessing.get_context("fork")
    done = fork.Queue()
    children = [fork.Process(target=child_buys, args=(session, [f"{n} a", f"{n} b"], done)) for n in range(2)]
    for child in children:
        child.start()
    mine = [buy(session, f"parent {n}") for n in range(3)]
    told = [done.get(timeout=60) for _ in children]
    for child in children:
        child.join(30)

    assert told == [[PRICE, PRICE]] * 2
    assert all(isinstance(one, el.Result) for one in mine)
    assert [child.exitcode for child in children] == [0, 0]
    assert books(session) == (till.taken, 0) == (8 * PRICE, 0)


EXIT = """
import sys, threading, time, elumenta_nb as el
session = el.session()
kind = sys.argv[1]
if kind == "a job":
    handle = el.submit("kling-v2.1", "a wave")
elif kind == "a stream":
    handle = iter(el.stream("gpt-5", "a long story " * 200)); next(handle)
elif kind == "an answer":
    handle = el.submit("gpt-5", "slow")
elif kind == "many":
    handle = [el.submit("gpt-5", f"many {n}") for n in range(20)]
time.sleep(0.4)
print("leaving", flush=True)
if sys.argv[2] == "error":
    raise RuntimeError("a script that fails")
if sys.argv[2] == "exit":
    sys.exit(3)
"""


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("a job", "end"),
        ("a job", "exit"),
        ("a stream", "end"),
        ("a stream", "error"),
        ("an answer", "end"),
        ("many", "end"),
    ],
)
def test_a_script_that_ends_while_a_call_runs_ends_soon_and_nothing_is_lost(tmp_path, kind, how):
    with sandbox.serve(time_scale=0.05) as server:
        before = server.account.balance
        if kind == "an answer":
            server.fault("slow", path="/generate", seconds=1.0)
        environment = {
            **os.environ,
            "ELUMENTA_HOME": str(tmp_path),
            "ELUMENTA_BASE_URL": server.url,
            "ELUMENTA_API_KEY": server.api_key,
        }
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", EXIT, kind, how],
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        took = time.monotonic() - began
        time.sleep(1.2)  # the server ends what it was asked for
        session = Quick(api_key=server.api_key, base_url=server.url, home=tmp_path)
        session.reconcile()
        booked = books(session)
        charged = before - server.account.balance
        session.close()

    assert "leaving" in done.stdout, done.stderr
    assert done.returncode == {"end": 0, "error": 1, "exit": 3}[how]
    assert ("Traceback" in done.stderr) == (how == "error"), done.stderr
    assert took < 40
    assert booked == (charged, 0)
    assert charged > 0


def test_two_kernels_that_run_one_notebook_on_one_store_keep_the_books_and_the_takes(till, tmp_path):
    """Two processes of a person, the same cells at the same time: every purchase is booked, every take is whole."""
    code = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[1] + '/..']\n"
        "from till_api import *; from pathlib import Path; from elumenta_nb._values import Ask, Origin\n"
        "class There: url = sys.argv[2]\n"
        "s = session_at(There, Path(sys.argv[3]), reuse='all', media_dir=Path(sys.argv[3]) / 'shared')\n"
        "for n in range(10):\n"
        "    s.run(Ask(model='gpt-5', prompt=f'cell {n}'), Origin(source='magic', cell_id=str(n), source_hash=str(n), run=str(n)))\n"
        "s.close()\n"
    )
    arguments = [sys.executable, "-c", code, str(Path(__file__).parent), till.url, str(tmp_path / "home")]
    kernels = [subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [kernel.communicate(timeout=90)[1] for kernel in kernels]
    session = session_at(till, tmp_path / "home", reuse="all", media_dir=tmp_path / "home" / "shared")
    takes = session.store().takes()
    damaged = session.store().damaged
    booked = books(session)
    session.close()

    assert [kernel.returncode for kernel in kernels] == [0, 0], errors
    assert booked == (till.taken, 0)
    assert 10 * PRICE <= till.taken <= 20 * PRICE
    assert len(takes) == len(till.made)
    assert damaged == {}
