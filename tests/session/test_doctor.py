"""The doctor: each part broken in turn is named, with what to do, and nothing is raised."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import ssl

import httpx
import pytest

import elumenta_nb as el
from elumenta_nb import _doctor, _reach, sandbox
from elumenta_nb._cli import main
from elumenta_nb._client import probe
from elumenta_nb._ledger import Intent, Ledger
from elumenta_nb._session import Session
from elumenta_nb._values import Ask, Origin

KEY = "nb_canary0123456789abcdef0123456789abcdef012345"


@pytest.fixture(scope="module")
def server():
    with sandbox.serve(time_scale=0.002) as running:
        yield running


@pytest.fixture
def live(server, tmp_path):
    server.control("reset")
    session = Session(api_key=server.api_key, base_url=server.url, home=tmp_path / "home")
    yield session
    session.close()


def found(report, topic):
    """(state, text and advice) of the findings of a topic."""
    rows = [finding for finding in report.findings if finding.topic == topic]
    assert rows, topic
    worst = max(rows, key=lambda row: ["ok", "note", "problem"].index(row.state))
    return worst.state, f"{worst.text}\n{worst.advice}"


def test_where_everything_is_in_order_nothing_is_wrong(live, server):
    report = live.doctor()

    assert report.problems == []
    assert {finding.topic for finding in report.findings} >= {
        "mode", "key", "address", "proxy", "certificates", "server", "account", "limits", "ledger", "open calls",
        "results", "budgets", "versions",
    }  # fmt: skip
    assert found(report, "key") == ("ok", f"nb_…{server.api_key[-4:]} from argument\n")
    assert "1,500 tokens, plan VIP" in found(report, "account")[1]
    assert "100 of 100 requests left" in found(report, "limits")[1]
    assert "WAL" in found(report, "ledger")[1]
    assert "this machine is never asked through a proxy" in found(report, "proxy")[1]


def test_it_shows_as_a_table_and_as_data_and_holds_no_key(live, server):
    report = live.doctor()
    data, _metadata = report._repr_mimebundle_()

    assert data["text/plain"].startswith("No problems.")
    assert "<table>" in data["text/html"]
    assert list(report.frame().columns) == ["topic", "state", "finding", "advice"]
    assert server.api_key not in f"{data} {report.frame().to_csv()} {report!r}"


def test_a_look_asks_once_and_leaves_no_folder_behind(live, server, tmp_path):
    server.seen.clear()
    live.doctor()

    assert [seen.method for seen in server.seen] == ["GET"]
    assert not (tmp_path / "elumenta_media").exists()
    assert not os.path.exists("elumenta_media")


def test_without_a_key_it_says_so_and_looks_at_the_rest(tmp_path, server):
    session = Session(home=tmp_path / "home", base_url=server.url)
    report = session.doctor()

    assert [finding.topic for finding in report.problems] == ["mode"]
    assert "sandbox on" in report.problems[0].advice
    assert "login" in report.problems[0].advice
    assert found(report, "server")[0] == "ok"
    assert found(report, "ledger")[0] == "ok"


def test_with_only_nothing_is_asked(tmp_path, server):
    server.seen.clear()
    report = Session(home=tmp_path / "home", base_url=server.url, reuse="only").doctor()

    assert report.problems == []
    assert "nothing is sent" in found(report, "server")[1]
    assert not server.seen


def test_the_sandbox_is_looked_at_like_a_server(tmp_path):
    session = Session(home=tmp_path / "home", mode="sandbox")
    report = session.doctor()
    session.close()

    assert report.problems == []
    assert "SANDBOX" in found(report, "mode")[1]
    assert "1,500 tokens" in found(report, "account")[1]


# ---------------------------------------------------------------- network


def test_nothing_listening_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    report = Session(home=tmp_path / "home", api_key=KEY, base_url=f"http://127.0.0.1:{port}/api/v2").doctor()

    state, text = found(report, "server")
    assert state == "problem"
    assert "refuses the connection" in text
    assert "ELUMENTA_BASE_URL" in text
    assert found(report, "account")[0] == "note"


def test_a_web_page_instead_of_json_is_named(live, server):
    server.fault("html")

    state, text = found(live.doctor(), "server")
    assert state == "problem"
    assert "a web page, not JSON" in text
    assert "/api/v2" in text


def test_another_server_than_the_api_is_named(live, server, tmp_path):
    session = Session(home=tmp_path / "home", api_key=KEY, base_url=server.url + "/nowhere")

    state, text = found(session.doctor(), "server")
    assert state == "problem"
    assert "ELUMENTA_BASE_URL" in text


def test_a_server_that_fails_is_theirs(live, server):
    server.fault("status", code=503)

    state, text = found(live.doctor(), "server")
    assert state == "problem"
    assert "503" in text


def test_a_proxy_that_is_not_there_is_named_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:9")
    report = Session(home=tmp_path / "home", api_key=KEY, base_url="https://api.test/api/v2").doctor()

    state, text = found(report, "server")
    assert state == "problem"
    assert "http://127.0.0.1:9" in text
    assert "HTTPS_PROXY" in text
    assert "http://127.0.0.1:9" in found(report, "proxy")[1]
    assert "secret" not in str(report)


def test_a_proxy_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "gopher://me:secret@old.example:70")
    report = Session(home=tmp_path / "home", api_key=KEY, base_url="https://api.test/api/v2").doctor()

    assert found(report, "proxy")[0] == "problem"
    assert found(report, "server")[0] == "problem"
    assert "secret" not in str(report)


class Fails(httpx.AsyncBaseTransport):
    def __init__(self, cause):
        self.cause = cause

    async def handle_async_request(self, request):
        raise httpx.ConnectError("it failed") from self.cause


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (socket.gaierror(-2, "Name or service not known"), "dns"),
        (ConnectionRefusedError(111, "refused"), "refused"),
        (OSError("all"), "lost"),
        (ExceptionGroup("several", [ConnectionRefusedError(111, "refused")]), "refused"),
        (ssl.SSLCertVerificationError("self-signed certificate"), "tls"),
        (TimeoutError(), "timeout"),
        (httpx.ProxyError("407 Proxy Authentication Required"), "proxy"),
    ],
    ids=["dns", "refused", "lost", "several", "tls", "timeout", "proxy"],
)
def test_each_kind_of_failure_is_told_apart(cause, kind):
    told = asyncio.run(probe("https://api.test/api/v2", lambda: KEY, factory=lambda _route: Fails(cause)))

    assert told.trouble == kind
    words, advice = _reach.TROUBLES[kind]()
    assert "{" not in words.format(host="h", proxy="p", status=1, time="t")
    assert advice


# ---------------------------------------------------------------- account


def test_a_key_that_is_not_accepted_is_named(server, tmp_path):
    report = Session(home=tmp_path / "home", api_key=KEY, base_url=server.url).doctor()

    state, text = found(report, "account")
    assert state == "problem"
    assert "login" in text
    assert KEY not in str(report)


@pytest.mark.parametrize("strict", [True, False])
def test_a_plan_without_api_access_is_named(tmp_path, strict):
    with sandbox.serve(plan="pro", strict_access=strict) as server:
        report = Session(home=tmp_path / "home", api_key=server.api_key, base_url=server.url).doctor()

    state, text = found(report, "account")
    assert state == "problem"
    assert "VIP, Elite" in text


def test_few_requests_left_are_noted(live, server):
    server.control("limit", "3")

    state, text = found(live.doctor(), "limits")
    assert state == "note"
    assert "3 of 3" in text


# ---------------------------------------------------------------- ledger


def test_a_home_below_a_file_is_named_with_what_to_do(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    report = Session(home=tmp_path / "file" / "home", mode="live", reuse="only").doctor()

    state, text = found(report, "ledger")
    assert state == "problem"
    assert "ELUMENTA_HOME" in text


def test_a_damaged_ledger_is_named(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "ledger.sqlite").write_bytes(b"this is no database at all" * 100)

    state, text = found(Session(home=home, reuse="only").doctor(), "ledger")
    assert state == "problem"
    assert "damaged" in text
    assert "mv " in text


def test_totals_that_were_changed_by_hand_are_found(live, tmp_path):
    live.run(Ask(model="gpt-5", prompt="x"), Origin())
    live.ledger().close()
    with sqlite3.connect(tmp_path / "home" / "ledger.sqlite") as file:
        file.execute("UPDATE sums SET tokens = tokens + 5")
    file.close()

    state, text = found(live.doctor(), "ledger")
    assert state == "problem"
    assert "rebuild()" in text


def test_a_network_file_system_is_noted(live, tmp_path):
    live._ledger = Ledger(
        f"sqlite:///{tmp_path}/ledger.sqlite", mounts=f"1 1 0:1 / {tmp_path.resolve()} rw - nfs4 host:/x rw"
    )

    state, text = found(live.doctor(), "ledger")
    assert state == "note"
    assert "network file system" in text


def test_the_password_of_a_ledger_is_masked(tmp_path):
    session = Session(home=tmp_path / "home", ledger_url="postgresql+psycopg://me:geheim@127.0.0.1:9/x", reuse="only")
    report = session.doctor()

    assert found(report, "ledger")[0] == "problem"
    assert "geheim" not in str(report)


def test_open_calls_are_counted_with_what_they_hold(live):
    intent = Intent(
        account="1", api=live.settings.base_url.split("/api")[0], origin=Origin(), category="video", model="sora-2",
        quoted=42, held=42, lease_s=900,
    )  # fmt: skip
    live.ledger().reserve([intent, intent])

    state, text = found(live.doctor(), "open calls")
    assert state == "note"
    assert "2 unfinished calls (up to 84 tokens)" in text
    assert "%elumenta recover" in text


def test_a_budget_that_is_nearly_used_is_noted(live):
    live.run(Ask(model="gpt-5", prompt="x"), Origin())
    live.budget(2, per="day")
    live.budget(100, per="month")

    rows = [finding for finding in live.doctor().findings if finding.topic == "budgets"]
    assert [row.state for row in rows] == ["note", "ok"]
    assert "2 of 2 tokens" in rows[0].text


# ---------------------------------------------------------------- store


def test_a_folder_that_cannot_be_written_is_noted_with_the_other_one(tmp_path, live):
    (tmp_path / "file").write_text("x")
    session = Session(home=tmp_path / "home", media_dir=tmp_path / "file" / "media", reuse="only")

    state, text = found(session.doctor(), "results")
    assert state == "note"
    assert str(tmp_path / "home" / "media") in text
    assert "ELUMENTA_MEDIA_DIR" in text


def test_nowhere_to_store_is_a_problem(tmp_path):
    (tmp_path / "file").write_text("x")
    session = Session(home=tmp_path / "file" / "home", media_dir=tmp_path / "file" / "media", reuse="only")

    assert found(session.doctor(), "results")[0] == "problem"


def test_a_damaged_result_is_named_with_the_reason(live):
    (result,) = live.run(Ask(model="photon-flash", prompt="x"), Origin())
    result.path.write_bytes(b"cut")

    state, text = found(live.doctor(), "results")
    assert state == "note"
    assert result.path.stem.split(".")[0] in text
    assert "3 bytes" in text


# ---------------------------------------------------------------- surfaces


def test_settings_that_cannot_work_are_told_by_the_doctor_not_raised(monkeypatch, capsys):
    monkeypatch.setenv("ELUMENTA_BASE_URL", "http://example.com/api/v2")

    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "ELUMENTA_BASE_URL" in said
    assert "Python 3" in said


def test_the_command_s_status_says_whether_something_is_wrong(monkeypatch, capsys):
    assert main(["doctor"]) == 1
    assert "no sandbox was chosen" in capsys.readouterr().out
    el.reset()
    monkeypatch.setenv("ELUMENTA_MODE", "sandbox")
    assert main(["doctor"]) == 0
    assert "No problems." in capsys.readouterr().out


def test_what_nobody_thought_of_is_a_finding_too(live):
    def broken(_facts):
        raise ZeroDivisionError("nb_canary0123456789abcdef")

    (finding,) = _doctor._looked("mode", broken, _reach.Facts(live))

    assert finding.state == "problem"
    assert "ZeroDivisionError" in finding.text
    assert "canary0123" not in finding.text
