"""How a panel shows itself: live, as a still picture, and on whatever thread a change comes from."""

from __future__ import annotations

import asyncio
import html
import re
import threading
import time
from typing import Any

import pytest
from worlds import until

from elumenta_nb._panels import JobsPanel, Panel
from elumenta_nb._panels._look import CSS, growing, notice, source_box
from elumenta_nb._panels._purchase import _Watch
from elumenta_nb._panels._stage import Latest, Stage
from elumenta_nb._panels._still import Picture
from elumenta_nb._progress import Subject
from elumenta_nb._values import Sent, TextDelta

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"


class Front:
    """A notebook that writes down what it is shown."""

    is_kernel = True
    is_live = True

    def __init__(self) -> None:
        self.shown: list[tuple[dict, str]] = []
        self.updated: list[tuple[dict, str]] = []
        self.namespace: dict[str, Any] = {}

    def loop(self) -> None:
        return None

    def origin(self, *_args: Any, **options: Any) -> Any:
        from elumenta_nb._values import Origin

        return Origin(source=options["source"], notebook="n@1", cell_id="c1")

    def show(self, data, metadata=None, *, slot=""):
        self.shown.append((data, slot))

    def update(self, slot, data, metadata=None):
        self.updated.append((data, slot))


@pytest.fixture
def front(desk):
    return Front()


@pytest.fixture
def shown(desk, front):
    panel = Panel(lambda: desk.session, front, category="text", model="gpt-5")
    until(lambda: panel.line.price is not None and panel.line.price.exact)
    panel._ipython_display_()
    return panel


def test_a_panel_shows_a_widget_and_below_it_its_still_picture(shown, front):
    (live, _), (still, slot), (result, result_slot) = front.shown

    assert "application/vnd.jupyter.widget-view+json" in live
    assert live["text/plain"]
    assert "gpt-5" in still["text/html"]
    assert "%%elumenta text gpt-5" in html.unescape(still["text/html"])
    assert "%%elumenta text gpt-5" in still["text/plain"]
    assert result == {"text/plain": ""}
    assert slot
    assert result_slot != slot


def test_the_style_of_the_live_panel_hides_its_own_still_and_no_other(desk, shown, front):
    other = Panel(lambda: desk.session, Front(), category="text")
    name = re.search(r"elumenta-still-\w+", front.shown[1][0]["text/html"])[0]

    assert name in shown.widget.children[0].value
    assert name not in other.widget.children[0].value


def shown_last(front):
    """The still picture and its result as they are now."""
    last = {slot: data for data, slot in front.updated}
    return [last[slot] for slot in sorted(last)]


def test_the_still_picture_follows_the_last_state_with_the_result_in_its_own_types(desk, shown, front):
    shown.form.prompt.value = "why is the sea salt"
    desk.buy(shown)
    until(lambda: len({slot for _data, slot in front.updated}) == 2)
    until(lambda: "Done" in shown_last(front)[0]["text/html"])

    still, result = shown_last(front)
    assert "Done · 2 tokens" in still["text/html"]
    assert "gpt-5 · 2 tokens ·" in still["text/html"], "the receipt"
    assert "SANDBOX" in result["text/markdown"]
    assert shown.results[0].text[:40] not in still["text/html"]


def test_a_front_end_that_keeps_the_first_state_gets_no_changes(desk, front):
    front.is_live = False
    panel = Panel(lambda: desk.session, front, category="text", model="gpt-5")
    panel._ipython_display_()
    until(lambda: panel.line.price is not None and panel.line.price.exact)
    panel.form.prompt.value = "one"
    desk.buy(panel)

    assert front.updated == []


def test_in_a_terminal_there_is_text_only(desk, front):
    front.is_kernel = False
    panel = Panel(lambda: desk.session, front, category="text")
    panel._ipython_display_()

    [(data, _)] = front.shown
    assert set(data) == {"text/plain"}


def test_one_bundle_has_everything_for_who_asks_for_it(shown):
    data, _metadata = shown._repr_mimebundle_()

    assert {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"} <= set(data)


def test_the_html_of_a_notebook_saved_with_a_panel_shows_the_still(shown, front):
    import nbformat
    from nbconvert import HTMLExporter

    outputs = [
        nbformat.v4.new_output("display_data", data=data, metadata={})
        for data, _slot in (*front.shown[:2], front.shown[2])
    ]
    cell = nbformat.v4.new_code_cell("el.panel()", outputs=outputs, execution_count=1)
    page, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))

    assert "The panel as it was" in page
    assert "model not found" not in page
    assert "vnd.jupyter.widget-view" not in page.split("<body", 1)[1]


def test_nothing_from_outside_is_markup(desk, shown):
    shown.form.prompt.value = EVIL
    texts = [growing(EVIL), notice("bad", EVIL, [EVIL]), source_box(EVIL), shown.cell.value]
    texts += [Picture(EVIL, (EVIL,), EVIL).bundle("x")[0]["text/html"]]
    shown._failed(ValueError(EVIL))
    texts.append(shown.status.value)

    assert not [text for text in texts if "<img" in text or "<script" in text]


def test_the_style_sheet_styles_nothing_but_panels():
    selectors = [
        part.strip()
        for rule in re.findall(r"([^{}]+)\{", re.sub(r"@media[^{]*\{", "", CSS))
        for part in re.split(r",(?![^()]*\))", rule)
    ]

    assert [part for part in selectors if not part.startswith(".elumenta-panel")] == []


def test_every_colour_is_the_theme_s(shown):
    colours = re.findall(r"(?:color|background|border[\w-]*)\s*:\s*([^;}]+)", CSS)

    assert [value for value in colours if re.search(r"#|rgb", value) and "var(--jp" not in value] == []


def test_the_open_calls_are_a_panel_of_their_own(desk, front):
    panel = JobsPanel(lambda: desk.session, front)
    panel._ipython_display_()
    until(lambda: "Nothing is open" in panel.jobs.summary.value)

    jobs = panel.jobs
    assert jobs.recover.disabled
    assert {part.layout.display for part in (jobs.list, jobs.recover, jobs.recover_all)} == {"none"}  # of no use now
    assert "Unfinished calls" in front.shown[1][0]["text/plain"]
    assert "text/html" in panel._repr_mimebundle_()[0]


# ---------------------------------------------------------------- threads


def test_changes_are_made_on_any_thread_at_once_and_one_at_a_time():
    """Also while the kernel's loop is busy with a cell: here it never turns."""
    made: list[tuple[int, int]] = []

    async def main() -> None:
        stage = Stage(asyncio.get_running_loop(), made.append)

        def change(at: int) -> None:
            began = len(made)
            time.sleep(0.02)
            made.append((began, at))

        threads = [threading.Thread(target=stage.do, args=(lambda at=at: change(at),)) for at in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    asyncio.run(main())
    assert [began for began, _at in made] == [0, 1, 2, 3, 4]


def test_what_the_notebook_keeps_follows_on_the_kernel_s_loop_once_for_all_that_asked():
    made: list[int] = []

    async def main() -> None:
        stage = Stage(asyncio.get_running_loop(), made.append)

        def many() -> None:
            for _ in range(100):
                stage.keep(lambda: made.append(threading.get_ident()))

        thread = threading.Thread(target=many)
        thread.start()
        thread.join()
        assert made == []
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert made == [threading.get_ident()]


def test_a_change_that_fails_is_told():
    told: list[Exception] = []
    stage = Stage(None, told.append)

    stage.do(lambda: 1 / 0)

    assert isinstance(told[0], ZeroDivisionError)


class Timer:
    """Rings when the test says so, as one that was cancelled too late does."""

    def __init__(self, _seconds, ring, args):
        self.ring, self.args = ring, args

    def start(self):
        pass

    def cancel(self):
        self.is_cancelled = True


def test_only_the_last_of_quick_wishes_is_done():
    done: list[int] = []
    made: list[Timer] = []

    def timer(*given, **named):
        made.append(Timer(*given, **named))
        return made[-1]

    latest = Latest(Stage(None, done.append), 0.05, timer)
    for at in range(5):
        latest.ask(lambda is_last, at=at: done.append(at) if is_last() else None)
    for each in made:
        each.ring(*each.args)

    assert done == [4]
    assert [hasattr(each, "is_cancelled") for each in made] == [True] * 4 + [False]


def test_a_wish_is_done_a_moment_later():
    done: list[bool] = []
    Latest(Stage(None, done.append), 0.01).ask(lambda is_last: done.append(is_last()))
    until(lambda: done)

    assert done == [True]


def test_what_goes_wrong_behind_a_panel_is_told():
    told: list[Exception] = []
    Latest(Stage(None, told.append), 0.0).ask(lambda _is_last: 1 / 0)
    until(lambda: told)

    assert isinstance(told[0], ZeroDivisionError)


class Seen:
    def __init__(self) -> None:
        self.lines: list[tuple] = []
        self.texts: list[str] = []

    def running(self, *line: Any) -> None:
        self.lines.append(line)

    def text(self, text: str) -> None:
        self.texts.append(text)

    def ended(self, _outcome: Any) -> None:
        raise AssertionError


def test_progress_is_moved_by_the_clock_once_a_second():
    now = [0.0]
    seen = Seen()
    watch = _Watch(seen, Subject(model="kling-v2.1", typical_s=(45, 90), tokens=26), lambda: now[0])
    watch(Sent(call_id=1, held=26))
    before = len(seen.lines)
    for _ in range(40):
        now[0] += 0.125
        watch.tick()

    lines = seen.lines[before:]
    assert 4 <= len(lines) <= 6
    assert lines[-1][0] == "kling-v2.1 · 26 tokens · 5 s of about 45–90 s"
    assert 0.04 < lines[-1][2] < 0.07


def test_a_growing_text_is_sent_no_more_often_than_its_weight_allows():
    now = [0.0]
    seen = Seen()
    watch = _Watch(seen, Subject(model="gpt-5", typical_s=(1, 10)), lambda: now[0])
    for _ in range(4000):
        now[0] += 0.01
        watch(TextDelta(text="word "))

    assert seen.texts[0] == "word "
    assert len(seen.texts) <= 40 * 20
    assert sum(len(text) for text in seen.texts) < 3_000_000
