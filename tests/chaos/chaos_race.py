"""One of several processes that spend from one budget: ``python chaos_race.py FACTS`` (JSON). See `chaos_runs`."""

from __future__ import annotations

import json
import sys
import threading
from random import Random
from typing import Any

from chaos_sessions import Hasty

from elumenta_nb._errors import BudgetExceeded, ElumentaError
from elumenta_nb._ledger import Intent, Ledger, Release, Settlement
from elumenta_nb._values import Ask, Origin

ACCOUNT, API = "7", "https://api.example"


def place(number: int) -> Origin:
    """Every round has a notebook, and a budget, of its own."""
    return Origin(source="magic", notebook=f"round-{number}.ipynb")


def ledger(facts: dict[str, Any]) -> dict[str, int]:
    """In each round every thread reserves once; what was granted is settled or released while others still ask."""
    book = Ledger(facts["url"])
    counts = {"granted": 0, "refused": 0}
    lock = threading.Lock()

    def together() -> None:  # all processes begin a round in the same moment
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()

    gate = threading.Barrier(facts["threads"], action=together)

    def work(thread: int) -> None:
        dice = Random(f"{facts['seed']}/{facts['number']}/{thread}")
        for number in range(facts["rounds"]):
            gate.wait()
            held = dice.randrange(1, 20)
            intent = Intent(
                account=ACCOUNT, api=API, category="text", model="gpt-5", quoted=held, held=held, origin=place(number)
            )
            (answer,) = book.reserve([intent])
            with lock:
                counts["granted" if isinstance(answer, int) else "refused"] += 1
            if not isinstance(answer, int):
                continue
            if dice.random() < 0.3:
                book.release([Release(call_id=answer)])
            else:
                book.settle([Settlement(call_id=answer, tokens=held, generation_id=answer)])

    run(work, facts["threads"])
    book.close()
    return counts


def session(facts: dict[str, Any]) -> dict[str, int]:
    """Every thread buys until its calls are used up or the budget is."""
    one = Hasty(api_key=facts["key"], base_url=facts["url"], home=facts["home"])
    counts = {"granted": 0, "refused": 0}
    lock = threading.Lock()

    def work(thread: int) -> None:
        for number in range(facts["rounds"]):
            origin = Origin(source="python", notebook="race.ipynb")
            try:
                one.run(Ask(model="gpt-5", prompt=f"{thread} {number}"), origin)
            except BudgetExceeded:
                word = "refused"
            except ElumentaError:
                word = "trouble"
            else:
                word = "granted"
            with lock:
                counts[word] = counts.get(word, 0) + 1

    run(work, facts["threads"])
    one.close()
    return counts


def run(work: Any, threads: int) -> None:
    running = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    answer = {"ledger": ledger, "session": session}[given["what"]](given)
    sys.stdout.write(json.dumps(answer) + "\n")
