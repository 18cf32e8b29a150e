"""S1: a key that is used for everything is found nowhere: in no output, file, log, traceback, copy or process.

One notebook walks all the paths of `leak_paths.py` with a real key of the sandbox, treated as a live API. A second run of
it plants a made-up key in every path and finds each: a path that could not see a leak would fail there.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import stat
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import nbformat
import pandas as pd
import pytest
from jupyter_client.manager import KernelManager
from leak_paths import PATHS, PRELUDE, WINDOW, planted, traces
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from strange_api import DONE, Heard, StrangeApi, Told

import elumenta_nb as el
from elumenta_nb import _demo, sandbox
from elumenta_nb._keys import Secret
from elumenta_nb._values import Ask, Origin

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.xdist_group("canary")]

KEY = "nb_live_Zq7Kx2Vt9Lm4Rw8Jc3Hd6Pf1Ys5Ng0Ba7Ue4Io"


def repeats(heard: Heard) -> Told | None:
    """A server that says the key back wherever a text can be."""
    said = heard.header("authorization")
    key = said.removeprefix("Bearer ")
    asked = heard.body.decode("utf-8", "replace")
    if "/drop/" in heard.target or heard.target.startswith("/drop"):
        raise ConnectionError("hangs up")
    match heard.method, heard.path:
        case "POST", "/generate/stream":
            pieces = [f"before {key[:9]}", f"{key[9:20]}", f"{key[20:]} after ", f"whole {said} end"]
            end = {"type": "generation_end", "id": 5, "tokens_spent": 2, "echo": said, "model": key}
            if "fail" in asked:
                end = {"type": "error", "message": f"bad {said}", "id": 5}
            events = [{"type": "generation_start", "id": 5, "model": "gpt-5"}]
            events += [{"type": "content_delta", "delta": piece} for piece in pieces]
            lines = [f"data: {json.dumps(event)}\n\n".encode() for event in [*events, end]]
            return Told(iter([*lines, b"data: [DONE]\n\n"]), headers={"content-type": "text/event-stream"})
        case "POST", "/generate" if "refuse" in asked:
            return Told({"error": "bad_request", "message": f"no: {said}", "details": {"headers": [said], key: 1}}, 400)
        case "POST", "/generate" if "wait" in asked:
            time.sleep(1)
            return Told(DONE)
        case "POST", "/generate":
            return Told(
                {**DONE, "result_text": f"your key is {key}", "headers": {"Authorization": said}, "prompt": key}
            )
        case "GET", "/generate/5":  # the page of the stream that failed
            return Told({"id": 5, "status": "failed", "error": f"bad {said}", "model": key, "tokens_spent": 0})
        case "GET", "/balance":
            return Told({"token_balance": 5, "plan": key})
        case "GET", "/user/me":
            return Told({"id": key, "name": said, "plan": key})
        case "GET", "/user/stats":
            return Told({"tokens_spent_total": 2, "breakdown": {key: {"count": 1, "tokens": 2}}})
        case "GET", "/models":
            return Told(
                {"items": [{"slug": key, "name": said, "category": "text", "min_token_cost": 1, "max_token_cost": 2}]}
            )
        case "GET", "/user/history":
            return Told({"items": [{**DONE, "prompt": said, "created_at": "2026-11-20T10:00:00Z", "model_slug": key}]})
    return None


class Walk:
    """One run of the notebook: what each path showed, and the files it left."""

    def __init__(self, room: Path, server: sandbox.Server, echo: StrangeApi, *, leaky: bool) -> None:
        self.room, self.leaky, self.key = room, leaky, server.api_key
        self.notebook = nbformat.v4.new_notebook()
        self._cells: dict[str, list[int]] = {name: [] for name in PATHS}
        self._add(None, PRELUDE)
        for name, path in PATHS.items():
            if leaky:
                self._add(name, f"NAME = {name!r}\n{path.plant}")
            if path.cell:
                self._add(name, path.cell.strip("\n"))
        self._add(None, "el.session().balance()\nprint(os.getpid(), len(log.getvalue()))")
        work = room / "work"
        work.mkdir(parents=True)
        (room / "ipython").mkdir()
        manager = KernelManager(kernel_name="python3", transport="ipc", ip=str(room / "k"))
        manager.kernel_spec.argv[0] = sys.executable
        environment = {
            **os.environ,
            "ELUMENTA_HOME": str(room / "home"),
            "ELUMENTA_BASE_URL": server.url,
            "ELUMENTA_API_KEY": server.api_key,
            "ECHO_URL": echo.url,
            "IPYTHONDIR": str(room / "ipython"),
        }
        client = NotebookClient(
            self.notebook,
            km=manager,
            timeout=60,
            allow_errors=True,
            store_widget_state=True,
            ipython_hist_file=str(room / "ipython" / "history.sqlite"),
            resources={"metadata": {"path": str(work)}},
            on_cell_start=lambda cell, cell_index: self._look(manager),
        )
        self.children: set[str] = set()
        client.execute(env=environment)
        nbformat.write(self.notebook, work / "saved.ipynb")
        (work / "saved.html").write_text(HTMLExporter().from_notebook_node(self.notebook)[0], encoding="utf-8")

    def _add(self, name: str | None, source: str) -> None:
        if name is not None:
            self._cells[name].append(len(self.notebook.cells))
        self.notebook.cells.append(nbformat.v4.new_code_cell(source))

    def _look(self, manager: KernelManager) -> None:
        """What the kernel started, as anybody on the machine sees it."""
        pid = manager.provisioner.process.pid
        for children in Path("/proc").glob(f"{pid}/task/*/children"):
            self.children.update(children.read_text().split())

    def outputs(self, name: str) -> str:
        return json.dumps([self.notebook.cells[at].outputs for at in self._cells[name]])

    def errors(self, name: str) -> list[str]:
        """Errors of the test's own code; ours are meant."""
        return [
            f"{output.ename}: {output.evalue}"
            for at in self._cells[name]
            for output in self.notebook.cells[at].outputs
            if output.output_type == "error"
        ]

    def found(self, name: str) -> bytes:
        """All that this path let out."""
        path = PATHS[name]
        parts = [self.outputs(name).encode()]
        if path.file:
            files = [file for file in self.room.glob(path.file) if file.is_file()]
            assert files, f"nothing was written to {path.file}"
            parts += [str(file).encode() + b"\n" + file.read_bytes() for file in files]
        return b"\n".join(parts)


@pytest.fixture(scope="module")
def walks(tmp_path_factory):
    """The clean walk and the leaky one."""
    with sandbox.serve(time_scale=0.002) as server, StrangeApi(repeats) as echo:
        room = tmp_path_factory.mktemp("canary")
        yield {leaky: Walk(room / str(leaky), server, echo, leaky=leaky) for leaky in (False, True)}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", PATHS)
def test_the_key_does_not_get_out_by(walks, name):
    walk = walks[False]

    assert traces(walk.found(name), walk.key) == set()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", PATHS)
def test_a_key_that_got_out_would_be_seen_by(walks, name):
    assert traces(walks[True].found(name), planted(name)) != set()


@pytest.mark.timeout(400)
def test_the_kernel_started_no_process_that_could_inherit_it(walks):
    assert walks[False].children == set()


MEANT = ("temperature", "ZeroDivisionError", "cannot be asked for here", "echo", "BadParam", "Rejected", "KeyInCell")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", PATHS)
def test_the_walk_itself_did_what_it_should(walks, name):
    errors = [error for error in walks[False].errors(name) if not any(word in error for word in MEANT)]

    assert errors == []


FORMS = {
    "as it is": lambda key: key,
    "in a header": lambda key: f"Authorization: Bearer {key}",
    "in JSON": lambda key: json.dumps({"a": [key]}),
    "its first part": lambda key: repr(key)[: 3 + WINDOW + 3],
    "its last part": lambda key: key[-WINDOW:],
    "its middle": lambda key: key[20 : 20 + WINDOW],
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 in the middle": lambda key: base64.urlsafe_b64encode(b"user:" + key.encode() + b"xy").decode(),
    "hex": lambda key: key.encode().hex(),
    "turned round": lambda key: key[::-1],
    "utf-16": lambda key: key.encode("utf-16"),
    "utf-32": lambda key: key.encode("utf-32-le"),
    "a list of codes": lambda key: str(list(key.encode())),
    "percent": lambda key: "".join(f"%{byte:02X}" for byte in key.encode()),
    "pickled": lambda key: pickle.dumps([key]),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_search_knows_a_key_in_any_form(form):
    assert traces(FORMS[form](KEY), KEY) != set()


@pytest.mark.parametrize("text", ["nb_…e4Io", "nb_live_", "nb_YOUR_API_KEY", f"nb_{KEY[3:12]}"])
def test_the_search_takes_nothing_else_for_one(text):
    assert traces(text, KEY) == set()


# ------------------------------------------------------------------ outside a notebook


def test_on_the_wire_it_is_in_one_header_and_nowhere_else(tmp_path):
    with StrangeApi() as api:
        session = el.Session(api_key=KEY, base_url=api.url, home=tmp_path)
        session.generate("gpt-5", "one")
        list(session.stream("gpt-5", "two"))
        for ask in (
            session.balance,
            session.me,
            session.stats,
            session.served_models,
            session.account_history,
            session.doctor,
        ):
            ask()
        session.close()

    assert len(api.heard) > 8
    for heard in api.heard:
        assert [name.lower() for name, value in heard.headers if KEY in value] == ["authorization"]
        rest = [heard.target, heard.body, *(value for name, value in heard.headers if name.lower() != "authorization")]
        assert [place for place in rest if traces(place, KEY)] == []


def command(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "elumenta_nb", *words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_list_of_processes_does_not_show_it(tmp_path):
    asked, answer = threading.Event(), threading.Event()

    def slow(heard: Heard) -> None:
        asked.set()
        answer.wait(20)

    with StrangeApi(slow) as api:
        process = command("balance", ELUMENTA_API_KEY=KEY, ELUMENTA_BASE_URL=api.url)
        assert asked.wait(20)
        seen = [Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "comm", "stat")]
        seen += [path.read_bytes() for path in Path(f"/proc/{process.pid}/task").glob("*/comm")]
        answer.set()
        out, error = process.communicate(timeout=30)

    assert process.returncode == 0, error
    assert b"elumenta_nb" in seen[0]
    assert [place for place in [*seen, out, error] if traces(place, KEY)] == []


def test_a_key_on_the_command_line_is_refused_and_not_repeated():
    process = command("login", KEY)
    out, error = process.communicate(timeout=30)

    assert process.returncode == 2
    assert not (Path(os.environ["ELUMENTA_HOME"]) / "key").exists()
    assert traces(out + error, KEY) == set()


def test_what_the_demo_starts_does_not_inherit_it(monkeypatch, tmp_path):
    monkeypatch.setenv("ELUMENTA_API_KEY", KEY)
    environment = _demo._environment(tmp_path)

    assert environment["PATH"]
    assert traces(json.dumps(environment), KEY) == set()


def files_with(key: str, folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and traces(path.read_bytes(), key))


def test_logging_in_leaves_it_in_one_file_that_only_its_owner_can_read(tmp_path):
    home = tmp_path / "home"
    os.umask(old := os.umask(0))  # the widest there is, for the time of the test
    os.umask(0)
    try:
        with StrangeApi() as api:
            session = el.Session(home=home, base_url=api.url, reuse="only")
            session.login(KEY)
            bought = el.Session(home=home, base_url=api.url, media_dir=tmp_path / "media")
            bought.generate("gpt-5", "hello")
            bought.close()
    finally:
        os.umask(old)

    assert files_with(KEY, tmp_path) == ["key"]
    assert stat.S_IMODE((home / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


class InMemory(keyring.backend.KeyringBackend):
    """A keyring that keeps its one password here, or fails as a locked one does."""

    priority = 1
    error: Exception | None = None

    def __init__(self):
        self.kept = {}

    def _may(self):
        if self.error:
            raise self.error

    def get_password(self, service, username):
        self._may()
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self._may()
        self.kept[service, username] = password

    def delete_password(self, service, username):
        self._may()
        del self.kept[service, username]


@pytest.fixture
def ring():
    before = keyring.get_keyring()
    keyring.set_keyring(made := InMemory())
    yield made
    keyring.set_keyring(before)


def test_in_the_keyring_it_is_in_no_file(ring, tmp_path):
    session = el.Session(home=tmp_path, reuse="only")
    session.login(KEY, keyring=True)

    assert list(ring.kept.values()) == [KEY]
    assert files_with(KEY, tmp_path) == []
    assert el.Session(home=tmp_path).settings.api_key == Secret(KEY)
    assert session.logout()
    assert ring.kept == {}


@pytest.mark.parametrize("note", ["# keyring = true\n", "keyring = false\n", 'lang = "en"  # no keyring here\n'])
def test_a_key_in_the_keyring_is_found_whatever_else_the_settings_say_of_one(ring, tmp_path, note):
    (tmp_path / "config.toml").write_text(note)
    session = el.Session(home=tmp_path, reuse="only")

    session.login(KEY, keyring=True)

    assert el.Session(home=tmp_path).settings.api_key == Secret(KEY)


@pytest.mark.parametrize("when", ["writing", "reading"])
def test_a_keyring_that_is_locked_is_told_without_it(ring, tmp_path, when):
    session = el.Session(home=tmp_path, reuse="only")
    if when == "reading":
        session.login(KEY, keyring=True)
    ring.error = keyring.errors.KeyringLocked(f"cannot open for {KEY}")
    with pytest.raises(el.ConfigError, match="KeyringLocked") as caught:
        session.login(KEY, keyring=True) if when == "writing" else el.Session(home=tmp_path)

    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [line for line in told.format(chain=True) if "test_canary_key" not in line]
    assert "login" in caught.value.hint
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert traces("".join(ours), KEY) == set()


@pytest.mark.parametrize("where", ["prompt", "system", "chat", "map"])
def test_a_prompt_with_the_key_in_it_is_not_sent_to_a_model(tmp_path, where):
    """From Python, or filled into a template from data: the model's provider would read it, and the store keep it."""
    with StrangeApi() as api:
        session = el.Session(api_key=KEY, base_url=api.url, home=tmp_path, media_dir=tmp_path / "media", reuse="all")
        data = pd.Series([f"my key: {KEY}"])
        asks = {
            "prompt": lambda: session.generate("gpt-5", f"why does {KEY} not work?"),
            "system": lambda: session.generate("gpt-5", "hello", params={"system": f"the key is {KEY}"}),
            "chat": lambda: session.run(Ask(model="gpt-5", prompt=f"my key: {KEY}", chat="a"), Origin(source="magic")),
            "map": lambda: session.map(data, "{{ value }}", model="gpt-5", budget=50, on_error="raise", progress=False),
        }
        with pytest.raises(el.AuthFailed, match="not sent") as caught:
            asks[where]()
        booked = session.spend(columns="all")
        session.close()

    assert caught.value.spent == "no"
    assert api.of("POST", "/generate") == []
    assert files_with(KEY, tmp_path) == []
    assert booked[["tokens", "held"]].sum().sum() == 0


def test_the_password_of_a_team_s_ledger_is_shown_nowhere_either(tmp_path):
    address = "postgresql+nosuchdriver://team:geheim2026@host.example/ledger"
    session = el.Session(home=tmp_path, ledger_url=address, reuse="only")
    shown = [
        repr(session),
        repr(vars(session)),
        repr(session.settings),
        str(session.settings.explain()),
        repr(session.doctor()),
    ]
    with pytest.raises(el.LedgerError) as caught:
        session.spend()
    shown += [str(caught.value), caught.value.hint, repr(vars(caught.value))]
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown += [line for line in told.format() if "test_canary_key" not in line]

    assert str(session.settings.ledger()) == address
    assert [place for place in shown if "geheim2026" in place] == []


@pytest.mark.parametrize("lies_there", ["a file that others can read", "a link to a file of others"])
def test_what_lies_at_the_name_of_the_draft_of_a_key_file_neither_gets_nor_exposes_the_key(tmp_path, lies_there):
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.write_text("not yours")
    if lies_there.startswith("a link"):
        (home / "key.new").symlink_to(other)
    else:
        (home / "key.new").write_text("old")
        (home / "key.new").chmod(0o666)
    el.Session(home=home, reuse="only").login(KEY)

    assert stat.S_IMODE((home / "key").lstat().st_mode) == 0o600
    assert not (home / "key").is_symlink()
    assert other.read_text() == "not yours"
    assert files_with(KEY, tmp_path) == ["key"]
