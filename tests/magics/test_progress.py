"""What is seen while a cell waits, and how much is sent for it."""

import io
import json
from types import SimpleNamespace

import pytest

from elumenta_nb import _values as v
from elumenta_nb._progress import Live, Pace, Subject

RECEIPT = v.Receipt(call_id=7, model="m", status="completed", tokens=1, quoted=1, latency_s=1)
VIDEO = Subject(model="kling-v2.1", typical_s=(45, 90))


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class FakeShell:
    """Keeps what is shown; `sent` is what of it goes over the wire."""

    is_kernel = True

    def __init__(self, is_live=True):
        self.is_live = is_live
        self.log = []

    def show(self, data, metadata=None, *, slot=""):
        self.log.append(("show", data))

    def update(self, slot, data, metadata=None):
        self.log.append(("update", data))

    def clear(self):
        self.log.append(("clear", {}))

    @property
    def sent(self):
        return sum(len(json.dumps(data)) for _, data in self.log)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def front():
    return FakeShell()


@pytest.fixture
def live(front, clock):
    return Live(front, VIDEO, safe=lambda text: text, owns_cell=True, clock=clock)


def last(front):
    return front.log[-1][1]["text/plain"]


def test_a_job_is_one_line_moved_by_the_clock(live, front, clock):
    live(v.Quoted(quote=v.Quote(tokens=26, minimum=26, maximum=94), total=26))
    live(v.Sent(call_id=7, held=26))
    clock.now += 12
    live.tick()

    assert last(front) == "kling-v2.1 · 26 tokens · 12 s of about 45–90 s"


def test_the_line_is_sent_once_a_second_at_most(live, front, clock):
    for _ in range(100):
        clock.now += 0.1
        live.tick()

    assert len(front.log) <= 12


def test_a_short_call_shows_no_line(live, front, clock):
    clock.now += 0.3
    live.tick()
    live.close()

    assert front.log == []


def test_a_wait_for_a_limit_is_told_and_counts_down(live, front, clock):
    live(v.Retrying(reason="limit reached", wait_s=41))
    assert last(front) == "kling-v2.1 · limit reached: waiting 41 s"
    clock.now += 10
    live.tick()

    assert last(front).endswith("waiting 31 s")


def test_progress_and_download_are_told(live, front, clock):
    clock.now += 5
    live(v.Waiting(progress=40.0, eta_s=9))
    assert last(front).endswith("· 40 %")
    live(v.Downloading(done_bytes=3 * 2**20, total_bytes=8 * 2**20))

    assert last(front).endswith("downloading, 3.0 of 8.0 MiB")


def test_it_is_gone_when_the_call_is_done(live, front, clock):
    clock.now += 5
    live.tick()

    assert live.close() == ""
    assert front.log[-1][0] == "clear"


def test_where_the_cell_is_shared_its_place_goes_to_the_receipt(front, clock):
    live = Live(front, VIDEO, safe=str, owns_cell=False, clock=clock)
    clock.now += 5
    live.tick()

    assert live.close() != ""
    assert all(kind != "clear" for kind, _ in front.log)


def test_nothing_changing_is_shown_where_it_is_not_seen(clock):
    front = FakeShell(is_live=False)
    live = Live(front, VIDEO, safe=str, owns_cell=True, clock=clock)
    clock.now += 50
    live(v.TextDelta(text="hello"))
    live.tick()
    live.close()

    assert front.log == []


def test_the_first_piece_of_text_is_shown_at_once(live, front, clock):
    live(v.TextDelta(text="Hel"))

    assert front.log[0][1]["text/markdown"] == "Hel"


def test_the_text_is_made_safe(front, clock):
    live = Live(front, VIDEO, safe=lambda text: text.replace("<", "&lt;"), owns_cell=True, clock=clock)
    live(v.TextDelta(text="<script>"))

    assert front.log[0][1]["text/markdown"] == "&lt;script>"


@pytest.mark.parametrize("rate", [10, 100, 10_000])
def test_four_thousand_pieces_send_at_most_three_megabytes(live, front, clock, rate):
    for _ in range(4000):
        live(v.TextDelta(text="a longer "))
        clock.now += 1 / rate
        live.tick()

    updates = len(front.log)
    seconds = clock.now - 100
    assert front.sent <= 3_000_000
    assert updates <= 20 * seconds + 1


def test_a_slow_text_is_never_far_behind():
    pace, now, behind = Pace(), 0.0, 0.0
    for size in range(10_000, 11_000, 5):
        now += 0.5
        if pace.is_due(size, now):
            pace.sent(size, now)
        behind = max(behind, now - pace._at)

    assert behind <= 3.5


def test_several_calls_are_counted(front, clock):
    live = Live(front, Subject(model="m", typical_s=(1, 5), count=4), safe=str, owns_cell=True, clock=clock)
    live(v.TextDelta(index=1, text="never shown of several"))
    live(v.Settled(receipt=RECEIPT))
    clock.now += 2
    live.tick()

    assert last(front).startswith("m × 4 · 1 of 4 done")


def test_a_small_download_is_not_worth_a_word(live, front, clock):
    clock.now += 5
    live(v.Downloading(done_bytes=1000, total_bytes=2000))

    assert "downloading" not in last(front)


def test_a_terminal_is_redrawn_ten_times_a_second_and_never_wraps(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    out = io.StringIO()
    live = Live(
        SimpleNamespace(is_kernel=False, is_live=True), VIDEO, safe=str, owns_cell=True, clock=clock, terminal=out
    )
    for _ in range(1000):
        clock.now += 0.001
        live(v.TextDelta(text="word "))

    lines = out.getvalue().split("\r\x1b[K")[1:]
    assert len(lines) <= 11
    assert all(len(line) < 40 for line in lines)


def test_a_terminal_has_one_line_that_is_wiped(clock):
    out = io.StringIO()
    terminal = SimpleNamespace(is_kernel=False, is_live=True)
    live = Live(terminal, VIDEO, safe=str, owns_cell=True, clock=clock, terminal=out)
    live(v.TextDelta(text="hello \x1b[31mworld"))
    live.close()

    assert "hello" in out.getvalue()
    assert "\x1b[31m" not in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[K")
