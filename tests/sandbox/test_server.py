"""The server as a neighbour: cheap to import, quick to start, silent, its state shared and outliving the process."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from elumenta_nb._errors import ConfigError
from elumenta_nb.sandbox import serve
from elumenta_nb.sandbox._schema import State


def python(code, *args):
    return subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=60)


def test_importing_the_package_is_cheap():
    done = python(
        "import sys, elumenta_nb.sandbox as s; heavy = {'starlette','uvicorn','av','numpy','PIL','httpx','sqlite3'};"
        "print(sorted(heavy & set(sys.modules)), s.__all__)"
    )

    assert done.stdout.strip() == "[] ['Account', 'Seen', 'Server', 'serve']"


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "av"])
def test_a_missing_extra_says_what_to_install(missing):
    done = python(
        "import sys; sys.modules[sys.argv[1]] = None\n"
        "from elumenta_nb.sandbox import serve\n"
        "from elumenta_nb._errors import ConfigError\n"
        "try: serve()\n"
        "except ConfigError as error: print(error, error.hint)",
        missing,
    )

    assert 'pip install "elumenta-nb[sandbox]"' in done.stdout
    assert missing in done.stdout


def test_it_starts_at_once_and_says_nothing(capfd):
    took = []
    for _ in range(3):  # the machine may be busy with other things at one time
        began = time.monotonic()
        with serve():
            took.append(time.monotonic() - began)
    with serve() as server:
        httpx.get(f"{server.url}/balance", trust_env=False, verify=False)
        assert repr(server) == f"<Server {server.url}>"
    server.stop()

    assert min(took) < 0.3
    assert server.url.startswith("http://127.0.0.1:")
    assert server.url.endswith("/api/v2")
    assert capfd.readouterr() == ("", "")
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url, trust_env=False, verify=False)


def test_a_taken_port_is_a_config_error():
    with serve() as server, pytest.raises(ConfigError, match=str(server.port)):
        serve(server.port)


def test_its_own_state_is_deleted_and_a_given_one_is_kept(tmp_path):
    with serve() as server:
        own = server.state
        assert own.exists()
    assert not own.parent.exists()
    with serve(state=tmp_path / "deep" / "state.sqlite", balance=77) as server:
        key = server.api_key
        server.control("plan", "pro")
    with serve(state=tmp_path / "deep" / "state.sqlite", plan="free") as again:
        assert (again.api_key, again.account.plan, again.account.balance) == (key, "pro", 700)


def test_the_state_of_a_killed_process_goes_when_the_next_starts_and_that_of_a_living_one_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    code = (
        "import os, signal, sys\n"
        "from elumenta_nb.sandbox import serve\n"
        "print(serve().state.parent, flush=True)\n"
        "sys.stdin.readline()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    def started():
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return child, Path(child.stdout.readline().strip())

    def killed(child):
        child.communicate("\n", timeout=60)
        assert child.returncode == -signal.SIGKILL

    one, of_one = started()
    two, of_two = started()
    killed(one)
    left = [folder.exists() for folder in (of_one, of_two)]
    (tmp_path / "elumenta-sandbox-of-a-stranger").mkdir()
    three, of_three = started()

    assert left == [True, True]
    assert [folder.exists() for folder in (of_one, of_two, of_three)] == [False, True, True]
    assert (tmp_path / "elumenta-sandbox-of-a-stranger").exists(), "no lock says whose it is"
    for child in (two, three):
        killed(child)


def test_a_server_that_cannot_start_leaves_no_state(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serve() as server:
        done = python(
            "import os, signal, sys\n"
            "from elumenta_nb.sandbox import serve\n"
            "from elumenta_nb._errors import ConfigError\n"
            "try: serve(int(sys.argv[1]))\n"
            "except ConfigError: print('refused', flush=True)\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n",
            server.port,
        )

    assert done.stdout.strip() == "refused"
    assert list(tmp_path.glob("elumenta-sandbox-*")) == []


def test_a_job_of_a_killed_process_completes_for_the_next(tmp_path, connect):
    state = tmp_path / "state.sqlite"
    code = (
        "import os, signal, sys, httpx, pathlib\n"
        "from elumenta_nb.sandbox import serve\n"
        "server = serve(state=pathlib.Path(sys.argv[1]), time_scale=0.02)\n"
        "reply = httpx.post(server.url + '/generate', json={'model': 'luma-ray2-flash', 'prompt': 'waves'},\n"
        "    headers={'Authorization': 'Bearer ' + server.api_key}, trust_env=False, verify=False, timeout=30).json()\n"
        "print(reply['id'], reply['status'], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = python(code, state)
    number, status = killed.stdout.split()

    assert killed.returncode == -signal.SIGKILL
    assert status == "pending"
    with serve(state=state, time_scale=0) as server:
        caller = connect(server)
        done = caller.follow(caller.poll(number).json())

        assert done["status"] == "completed"
        assert done["tokens_spent"] == 26
        assert server.account.balance == 1474
        assert caller.file(done["result_url"]).content[4:8] == b"ftyp"


def test_two_servers_on_one_state_charge_exactly_once(tmp_path, connect):
    state = tmp_path / "state.sqlite"
    with serve(state=state, time_scale=0) as one, serve(state=state, time_scale=0) as two:
        one.control("limit", 0)
        callers = [connect(server) for server in (one, two) for _ in range(2)]
        threads = [
            threading.Thread(target=lambda c=caller: [c.generate("gpt-5") for _ in range(20)]) for caller in callers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        job = callers[0].post("/generate", {"model": "kling-v2.1", "prompt": "waves"}).json()
        polled = [caller.poll(job["id"]).json()["tokens_spent"] for caller in callers]

        assert one.api_key == two.api_key
        assert polled == [26] * 4
        assert one.account.balance == two.account.balance == 1500 - 80 * 2 - 26
        assert callers[0].get("/user/stats").json()["total_generations"] == 81


def test_a_file_made_at_another_port_is_known_by_its_id(tmp_path, connect):
    state = tmp_path / "state.sqlite"
    with serve(state=state, time_scale=0) as first:
        url = connect(first).generate("photon-flash", size="64x64")["result_url"]
    with serve(state=state, time_scale=0) as second:
        assert connect(second).generate("upscale", image_url=url)["status"] == "completed"


def test_a_second_process_may_ask_the_first(tmp_path):
    with serve(state=tmp_path / "state.sqlite") as server:
        done = python(
            "import sys, httpx; print(httpx.get(sys.argv[1] + '/balance', trust_env=False, verify=False,"
            " headers={'Authorization': 'Bearer ' + sys.argv[2]}).json()['token_balance'])",
            server.url,
            server.api_key,
        )

    assert done.stdout.strip() == "1500"


@pytest.mark.parametrize(("kind", "journal"), [("ext4", "wal"), ("nfs4", "truncate"), ("fuse.sshfs", "truncate")])
def test_its_state_on_a_network_file_system_has_a_rollback_journal(tmp_path, kind, journal):
    mounts = f"22 1 254:0 / {tmp_path} rw - {kind} server:/home rw"

    state = State(tmp_path / "home" / "sandbox.sqlite", mounts=mounts)
    with state.write() as db:
        db.execute("INSERT INTO usage VALUES (1, 'hour', 0, 1)")
    state.close()

    moved = State(tmp_path / "home" / "sandbox.sqlite", mounts=mounts)  # as a second kernel finds it
    with moved.read() as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == journal
        assert db.execute("SELECT n FROM usage").fetchone()[0] == 1
    moved.close()


def test_its_state_goes_on_after_a_commit_that_another_process_held_up(tmp_path):
    path = tmp_path / "sandbox.sqlite"
    state = State(path, mounts=f"22 1 254:0 / {tmp_path} rw - nfs4 server:/home rw")
    with state.read() as db:
        db.execute("PRAGMA busy_timeout = 20")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM usage").fetchall()
        with pytest.raises(sqlite3.OperationalError, match="locked"), state.write() as db:
            db.execute("INSERT INTO usage VALUES (1, 'hour', 0, 1)")

    with state.write() as db:
        db.execute("INSERT INTO usage VALUES (2, 'hour', 0, 1)")
    with state.read() as db:
        assert [row[0] for row in db.execute("SELECT account FROM usage")] == [2]
    state.close()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ("plan='nope'", "ConfigError"),
        ("balance=-5", "ConfigError"),
        ("extra_models=[{'slug': 'x', 'bogus': 1}]", "TypeError"),
    ],
)
def test_one_that_cannot_start_says_why_and_leaves_no_folder(tmp_path, monkeypatch, wrong, error):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = python(
        "import os, tempfile\n"
        "from elumenta_nb.sandbox import serve\n"
        f"try: serve({wrong})\n"
        "except Exception as error: print(type(error).__name__, os.listdir(tempfile.gettempdir()))"
    )

    assert done.stdout.strip() == f"{error} []", done.stderr


@pytest.mark.parametrize("words", [("limit", "9" * 25), ("balance", "9" * 25), ("fail", "next", "9" * 25)])
def test_a_number_too_large_for_a_verb_is_refused_as_any_other_word(words):
    with serve() as server, pytest.raises(ConfigError, match="does not take"):
        server.control(*words)
