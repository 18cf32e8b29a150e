"""P6 to P9: what a cell sends while a text streams, how fast an interrupt ends it, how often a job is asked about."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import peers
from .rows import Row
from .serving import Seen, asked, kernel, serving

LOAD = "%load_ext elumenta_nb"
WARM = "%%elumenta text gpt-5 --no-stream --fresh\nwarm up"
STREAM = "%%elumenta text gpt-5 --stream --fresh\nA long story"
NAIVE = """
from IPython.display import display, Markdown
handle, text = display(Markdown(""), display_id=True), ""
for _ in range(400):
    text += "The tide "
    handle.update(Markdown(text))
"""
SHOWN = ("display_data", "update_display_data", "execute_result", "stream")
PHASES = {
    "no answer yet": "%%elumenta text gpt-5-nano --no-stream --fresh\nhang",
    "stream": STREAM,
    "poll": "%%elumenta video sora-2 --fresh --max-price 500\na door",
    "download": "%%elumenta video kling-v2.1 --fresh --max-price 500\na door",
}
MEDIA = {
    "picture of 5 MiB": "%%elumenta image photon --fresh --format png\nnoise",
    "film of 5 MiB": "%%elumenta video luma-ray2 --fresh --max-price 500\nnoise",
}


def streaming(rate: float, name: str) -> list[Row]:
    with serving(4000, rate) as base, tempfile.TemporaryDirectory() as home, kernel(base, home) as running:
        running.run(LOAD)
        running.run(WARM)
        naive = (
            sum(size for _, _, size, _ in running.run(NAIVE).of(*SHOWN)) * (4000 / 400) ** 2
        )  # grows with the square
        seen = running.run(STREAM)
        first_piece = asked(f"{base}/seen")["first_piece"]
    if seen.status:
        raise RuntimeError(f"the streaming cell failed: {seen.messages[-2]}")
    shown = seen.of(*SHOWN)
    sent = sum(size for _, _, size, _ in shown)
    told = [moment for moment, _, _, content in shown if "tide" in str(content)]
    visible = (seen.started_at + told[0] - first_piece) * 1000
    busiest = max(sum(1 for other, *_ in shown if moment <= other < moment + 1) for moment, *_ in shown)
    return [
        Row(
            "P6",
            f"4,000 pieces, {name}: updates in the busiest second",
            busiest,
            "",
            limit="<= 20",
            ok=busiest <= 20,
            note=f"{len(shown)} in {seen.took_s:.1f} s",
        ),
        Row(
            "P6",
            f"4,000 pieces, {name}: sent to the front end",
            sent / 2**20,
            "MiB",
            "an update per piece",
            naive / 2**20,
            "<= 3 MB",
            sent <= 3_000_000,
        ),
        Row("P6", f"{name}: first text after the first byte", visible, "ms", limit="<= 100 ms", ok=visible <= 100),
    ]


def embedding() -> list[Row]:
    """What a cell with a file of about 5 MiB adds to the notebook, beside the same file embedded."""
    found = []
    with serving() as base, tempfile.TemporaryDirectory() as home, kernel(base, home) as running:
        running.run(LOAD)
        for what, cell in MEDIA.items():
            seen = running.run(cell)
            if seen.status:
                raise RuntimeError(f"the {what} cell failed: {seen.messages[-2]}")
            kept = sum(size for _, _, size, _ in seen.of("display_data", "execute_result")) / 1024
            file = max(path.stat().st_size for path in Path(home, "elumenta_media").iterdir()) / 1024
            found.append(
                Row(
                    "P7",
                    f"the notebook grows by, {what}",
                    kept,
                    "KiB",
                    "embedded",
                    file * 4 / 3,
                    "<= 300 KiB",
                    kept <= 300,
                )
            )
    return found


STOP = """
import time
import elumenta_nb as el
job = el.submit("sora-2", "a door", max_price=500)
time.sleep(1.5)
asked = time.perf_counter()
job.stop()
try:
    job.result(timeout=30)
except BaseException as error:
    print(type(error).__name__)
print(time.perf_counter() - asked)
"""


@contextmanager
def deaf() -> Iterator[str]:
    """A base URL where nothing ever connects: its queue of connections is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api/v2"
        for one in waiting:
            one.close()


def stopped(phase: str, seen: Seen) -> Row:
    ended = seen.interrupted_s
    if ended is None:
        raise RuntimeError(f"the cell ended by itself in phase {phase}: {seen.messages[-2]}")
    ok = ended <= 1 and seen.status == "KeyboardInterrupt"
    return Row("P8", f"interrupt, {phase}", ended, "s", limit="<= 1 s, red", ok=ok, note=seen.status)


def stopping() -> list[Row]:
    """Stop of a job in the background, as a button does it: until whoever waits has been told."""
    with serving() as base, tempfile.TemporaryDirectory() as home, kernel(base, home) as running:
        running.run(LOAD)
        seen = running.run(STOP)
    said = "".join(content["text"] for _, _, _, content in seen.of("stream")).split()
    took = float(said[-1])
    return [Row("P8", "Stop of a job in the background", took, "s", limit="<= 1 s", ok=took <= 1, note=said[0])]


def interrupting() -> list[Row]:
    found = []
    with deaf() as base, tempfile.TemporaryDirectory() as home, kernel(base, home) as running:
        running.run(LOAD)
        found.append(stopped("connect", running.run(PHASES["no answer yet"], interrupt_after=2.5)))
    with serving(40000, 50) as base, tempfile.TemporaryDirectory() as home, kernel(base, home) as running:
        running.run(LOAD)
        running.run(WARM)
        for phase, cell in PHASES.items():
            seen = running.run(cell, interrupt_after=1.5)
            found.append(stopped(phase, seen))
    return found


def polling() -> list[Row]:
    """The waits of a 10-minute job, from the function that decides them."""
    from elumenta_nb._order import poll_delay
    from elumenta_nb._values import Limits

    waited = polls = 0.0
    while waited < 600:
        waited += poll_delay(int(polls), None, Limits())
        polls += 1
    goal = {"unit": "", "limit": "<= 30", "ok": polls <= 30}
    found = [Row("P9", "polls of a 10-minute job", polls, peer_name="every 5 s, as the page's loop", peer=120, **goal)]
    if peers.python():
        every = peers.told("import json, replicate; print(json.dumps(replicate.default_client.poll_interval))")
        name = f"replicate {peers.version('replicate')}, every {every} s"
        found.append(Row("P9", "polls of a 10-minute job", polls, peer_name=name, peer=600 / every, **goal))
    return found


def rows() -> list[Row]:
    streams = [*streaming(0, "as fast as possible"), *streaming(100, "100 a second")]
    return [*streams, *embedding(), *interrupting(), *stopping(), *polling()]
