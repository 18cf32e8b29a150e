"""What the tests run in processes of their own: ``python ledger_process.py WHAT FILE …``."""

from __future__ import annotations

import random
import sys
import threading
import time

from ledger_making import HERE, LIVE, intent

from elumenta_nb._ledger import Ledger, Release, Settlement


def race(url: str, threads: int, rounds: int, seed: int) -> None:
    """Reserve against one budget from several threads; settle at the price, some fail; says how many were refused."""
    ledger = Ledger(url)
    refused = [0] * threads

    def work(number: int) -> None:
        dice = random.Random(seed * 100 + number)
        for _ in range(rounds):
            held = dice.randrange(1, 20)
            (call_id,) = ledger.reserve([intent(held=held, quoted=held)])
            if not isinstance(call_id, int):
                refused[number] += 1
            elif dice.random() < 0.3:
                ledger.release([Release(call_id=call_id)])
            else:
                ledger.settle([Settlement(call_id=call_id, tokens=held, generation_id=f"{seed}-{number}-{call_id}")])

    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    ledger.close()
    sys.stdout.write(f"{sum(refused)}\n")


def spend_until_killed(url: str) -> None:
    """Reserve, accept, settle for ever; a line is written only after the ledger has promised what it says."""
    ledger = Ledger(url)
    dice = random.Random()
    say = sys.stdout
    while True:
        rows = ledger.reserve([intent(held=5, quoted=5)] * dice.randrange(1, 4))
        say.write("".join(f"reserved {row}\n" for row in rows if isinstance(row, int)))
        say.flush()
        for row in rows:
            if not isinstance(row, int):
                continue
            ledger.accept([(row, f"job-{row}")])
            say.write(f"accepted {row}\n")
            say.flush()
            if dice.random() < 0.7:
                ledger.settle([Settlement(call_id=row, tokens=5)])
                say.write(f"settled {row}\n")
                say.flush()


def open_at_once(url: str, at: float) -> None:
    """Many kernels at the first start: all create the same file at the same moment."""
    time.sleep(max(at - time.time(), 0))
    with Ledger(url) as ledger:
        ledger.set_budget(10**6, per="month", account="7", api=LIVE, origin=HERE)
        ledger.reserve([intent()])


def once(url: str, at: float, threads: int, keys: int) -> None:
    """Many ask for the same few keys at the same moment; says the rows that were made here."""
    made: list[int] = []

    def work() -> None:
        for number in range(keys):
            (answer,) = ledger.reserve([intent(once=f"row {number}")])
            if isinstance(answer, int):
                made.append(answer)

    with Ledger(url) as ledger:
        running = [threading.Thread(target=work) for _ in range(threads)]
        time.sleep(max(at - time.time(), 0))
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    sys.stdout.write("".join(f"{row}\n" for row in made))


if __name__ == "__main__":
    what, address, *numbers = sys.argv[1:]
    if what == "race":
        race(address, *map(int, numbers))
    elif what == "spend":
        spend_until_killed(address)
    elif what == "once":
        once(address, float(numbers[0]), *map(int, numbers[1:]))
    else:
        open_at_once(address, float(numbers[0]))
