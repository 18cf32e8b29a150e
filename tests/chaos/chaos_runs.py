"""The runs: a storm of calls, races against a budget, kernels that are killed. Each gives its figures as a dict."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chaos_books import compared, healthy
from chaos_mix import JOB, PICTURE_JOB
from chaos_race import ACCOUNT, API, place
from chaos_sessions import TRANSPORTS, Later

from elumenta_nb._errors import ElumentaError
from elumenta_nb._ledger import Ledger, Where
from elumenta_nb._session import Session
from elumenta_nb._values import Origin
from elumenta_nb.sandbox import serve

SCRIPT = Path(__file__).with_name("chaos_kernel.py")
RACE = SCRIPT.with_name("chaos_race.py")
BALANCE = 10**7
ROUNDS = 6  # of recovery


@contextlib.contextmanager
def account(dialect: str, **options: Any) -> Iterator[Any]:
    """A server with a rich account and no limits."""
    with serve(dialect=dialect, time_scale=0.001, balance=BALANCE, slow_models=(JOB, PICTURE_JOB), **options) as server:
        server.control("limit", "0")
        yield server


def kernels(facts: list[dict[str, Any]], within_s: float) -> None:
    """Run these kernels at once, to their end."""
    running = [
        subprocess.Popen([sys.executable, str(SCRIPT), json.dumps(fact)], stdout=subprocess.DEVNULL) for fact in facts
    ]
    try:
        for process in running:
            assert process.wait(within_s) == 0
    finally:
        for process in running:
            process.kill()
            process.wait()


def recovered(session: Session) -> int:
    """What a person does after trouble, until nothing is open; how many rounds it took."""
    for n in range(1, ROUNDS + 1):
        session.reconcile()
        if session.jobs().empty:
            return n
    return ROUNDS


def fetched(session: Session, ids: list[int]) -> list[str]:
    """Every one of these calls shown again; what did not come."""
    missing = []
    for call_id in ids:
        try:
            result = session.show(call_id)
        except ElumentaError as error:
            missing.append(f"{call_id}: {error}")
            continue
        if result.text is None and not (result.path and result.path.stat().st_size):
            missing.append(f"{call_id}: empty")
    return missing


def misled(told: list[dict[str, Any]], rows: dict[int, Any]) -> list[str]:
    """What callers were told about money and the books say otherwise."""
    wrong = []
    for call in told:
        for call_id, tokens in call["results"]:
            if rows[call_id].status != "completed" or rows[call_id].tokens != tokens:
                wrong.append(f"{call_id}: a result of {tokens}, booked {rows[call_id].tokens}")
        if call.get("spent") == "no" and call.get("call") and rows[call["call"]].tokens:
            wrong.append(f"{call['call']}: said not charged, booked {rows[call['call']].tokens}: {call['says']}")
    return wrong


def storm(
    folder: Path,
    *,
    calls: int,
    seed: int,
    dialect: str,
    kernels_at_once: int = 2,
    threads: int = 12,
    faults: float = 0.6,
    within_s: float = 1800,
    show: int = 400,
) -> dict[str, Any]:
    """R2: random calls under random faults from several kernels; then recovery; then both sides of the account."""
    home = folder / "home"
    began = time.monotonic()
    with account(dialect) as server:
        share = calls // (kernels_at_once * threads)
        facts = [
            {
                "what": "storm",
                "url": server.url,
                "key": server.api_key,
                "home": str(home),
                "seed": f"{seed}/{dialect}",
                "kernel": n,
                "transport": list(TRANSPORTS)[n % len(TRANSPORTS)],
                "threads": threads,
                "calls": share,
                "faults": faults,
                "says": str(folder / f"says-{n}.json"),
            }
            for n in range(kernels_at_once)
        ]
        kernels(facts, within_s)
        stormed_s = time.monotonic() - began
        told = [
            {**call, "transport": fact["transport"]}
            for fact in facts
            for call in json.loads(Path(fact["says"]).read_text(encoding="utf-8"))
        ]
        server.faults.clear()
        session = Later(api_key=server.api_key, base_url=server.url, home=home)
        unfinished = len(session.jobs())
        rounds = recovered(session)
        figures = compared(server, session.ledger(), dialect, BALANCE - server.account.balance)
        completed = figures.pop("completed rows")
        delivered = {call_id for call in told for call_id, _tokens in call["results"]}
        shown = [call_id for call_id in completed if call_id not in delivered][:show]
        shown += sorted(delivered)[:: max(1, len(delivered) // (show // 2))]
        missing = fetched(session, shown)
        again = compared(server, session.ledger(), dialect, BALANCE - server.account.balance)
        rows = {
            id_: session.ledger().call(id_)
            for id_ in {i for call in told for i, _ in call["results"]}
            | {call["call"] for call in told if call.get("call")}
        }
        wrong = misled(told, rows)
        session.close()
    return {
        "dialect": dialect,
        "calls": share * kernels_at_once * threads,
        **figures,
        "too many": max(0, figures["generations"] - share * kernels_at_once * threads),
        "unfinished before recovery": unfinished,
        "rounds of recovery": rounds,
        "fetched again": len(shown),
        "not fetched again": missing,
        "changed by fetching": again["difference"] - figures["difference"],
        "told otherwise": wrong,
        "outcomes": dict(Counter(call.get("error", "completed") for call in told).most_common()),
        "faults": dict(Counter(call["fault"] for call in told).most_common()),
        "by transport": {name: sum(call["count"] for call in told if call["transport"] == name) for name in TRANSPORTS},
        "storm_s": round(stormed_s, 1),
        "seconds": round(time.monotonic() - began, 1),
    }


# ---------------------------------------------------------------- R1


def race_of_ledgers(
    folder: Path,
    *,
    rounds: int,
    seed: int,
    processes: int = 4,
    threads: int = 64,
    limit: int = 60,
    within_s: float = 3600,
    url: str = "",
) -> dict[str, Any]:
    """R1 at the ledger: in each round all threads of all processes ask at once for what only some can get."""
    url = url or f"sqlite:///{folder / 'ledger.db'}"
    began = time.monotonic()
    fullest = over = held = done = 0

    with Ledger(url) as ledger:

        def close(number: int) -> None:
            """Everybody is through with this round: what its budget says, exactly."""
            nonlocal fullest, over, held
            state = ledger.budget_state(place(number), ACCOUNT, API)
            assert state is not None
            fullest = max(fullest, state.used)
            over += max(state.used - limit, 0)
            held += state.held
            ledger.clear_budget(per="notebook", account=ACCOUNT, api=API, origin=place(number))

        base = {"what": "ledger", "url": url, "threads": threads, "rounds": rounds, "seed": seed}
        running = [started(RACE, {**base, "number": n}) for n in range(processes)]
        try:
            for number in range(rounds):
                for process in running:
                    assert process.stdout
                    assert process.stdout.readline() == "ready\n"
                if number:
                    close(number - 1)
                if time.monotonic() - began > within_s:
                    break
                ledger.set_budget(limit, per="notebook", account=ACCOUNT, api=API, origin=place(number))
                for process in running:
                    assert process.stdin
                    process.stdin.write("go\n")
                    process.stdin.flush()
                done = number + 1
            else:
                for process in running:
                    process.wait(600)
                close(rounds - 1)
        finally:
            ended(running)
        granted = ledger.totals((), Where(api=API))[0][0]
        return {
            "rounds": done,
            "processes": processes,
            "threads": threads,
            "asked": done * processes * threads,
            "granted": granted,
            "refused": done * processes * threads - granted,
            "limit of each round": limit,
            "fullest": fullest,
            "tokens over a limit": over,
            "held": held,
            "drift": [drift.name for drift in ledger.check()],
            "seconds": round(time.monotonic() - began, 1),
        }


def race_on_a_server(folder: Path, *, url: str = "", **facts: Any) -> dict[str, Any]:
    """R1 at a ledger in PostgreSQL: in the database of `url`, else on a server of its own that commits durably."""
    if url:
        return race_of_ledgers(folder, url=url, **facts)
    from postgres_server import Server

    with Server(durable=True) as server:
        return race_of_ledgers(folder, url=server.database(), **facts)


def race_of_sessions(
    folder: Path, *, rounds: int, seed: int, processes: int = 4, threads: int = 64, limit: int = 501
) -> dict[str, Any]:
    """R1 through the whole of it: kernels that buy for real until the notebook's budget is used up."""
    home = folder / "home"
    began = time.monotonic()
    with account("a") as server:
        facts = {"key": server.api_key, "url": server.url, "home": str(home)}
        session = Later(api_key=facts["key"], base_url=facts["url"], home=home)
        session.budget(limit, "notebook", origin=Origin(notebook="race.ipynb"))
        base = {"what": "session", **facts, "threads": threads, "rounds": rounds, "seed": seed}
        running = [started(RACE, {**base, "number": n}) for n in range(processes)]
        try:
            told = [json.loads(process.communicate(timeout=600)[0]) for process in running]
        finally:
            ended(running)
        (state,) = session.budget_states()
        paid = BALANCE - server.account.balance
        session.close()
        return {
            "asked": rounds * processes * threads,
            "granted": sum(one["granted"] for one in told),
            "refused": sum(one["refused"] for one in told),
            "trouble": sum(one.get("trouble", 0) for one in told),
            "limit": limit,
            "charged": paid,
            "spent": state.spent,
            "held": state.held,
            "tokens over a limit": max(paid - limit, 0) + max(state.used - limit, 0),
            "seconds": round(time.monotonic() - began, 1),
        }


def started(script: Path, facts: dict[str, Any]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), json.dumps(facts)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def ended(running: list[subprocess.Popen[str]]) -> None:
    for process in running:
        process.kill()
        process.communicate()


# ---------------------------------------------------------------- R3


def deaths(
    folder: Path, *, kills: int, seed: int, dialect: str, threads: int = 6, after: tuple[float, float] = (0.0, 0.4)
) -> dict[str, Any]:
    """R3: kernels killed at random moments, the ledger looked at after each; then a kernel that recovers."""
    home = folder / "home"
    began = time.monotonic()
    unsound = []
    with account(dialect) as server:
        facts = {
            "what": "deaths",
            "url": server.url,
            "key": server.api_key,
            "home": str(home),
            "seed": f"{seed}/{dialect}",
            "kernel": 0,
            "transport": "own",
            "threads": threads,
            "kills": kills,
            "after": after,
            "faults": 0.2,
        }
        process = started(SCRIPT, facts)
        assert process.stdout
        try:
            for line in process.stdout:
                path = home / "ledger.sqlite"
                if path.exists() and (answer := healthy(path)) != "ok":
                    unsound.append(f"{line.strip()}: {answer}")
            assert process.wait(600) == 0
        finally:
            ended([process])
        server.faults.clear()
        time.sleep(0.5)  # what the server had taken in
        session = Later(api_key=server.api_key, base_url=server.url, home=home)
        accepted = [row.id for row in session.open_entries() if row.generation_id is not None]
        unfinished = len(session.jobs())
        rounds = recovered(session)
        figures = compared(server, session.ledger(), dialect, BALANCE - server.account.balance)
        completed = figures.pop("completed rows")
        missing = fetched(session, completed)
        again = compared(server, session.ledger(), dialect, BALANCE - server.account.balance)
        lost = [id_ for id_ in accepted if session.ledger().call(id_).status not in ("completed", "failed")]
        session.close()
    return {
        "dialect": dialect,
        "kills": kills,
        **figures,
        "unsound after a kill": unsound,
        "accepted jobs open": len(accepted),
        "accepted jobs lost": lost,
        "unfinished before recovery": unfinished,
        "rounds of recovery": rounds,
        "not fetched again": missing,
        "changed by fetching": again["difference"] - figures["difference"],
        "seconds": round(time.monotonic() - began, 1),
    }
