"""The dashboard without a browser: its figures are the ledger's, filters narrow them, a still stands for it elsewhere."""

from __future__ import annotations

import re
import statistics
import time
from datetime import UTC, datetime, timedelta

import pytest

import elumenta_nb as el
from elumenta_nb import _spend as spend
from elumenta_nb._ledger import Intent, Ledger, Settlement, Where
from elumenta_nb._panels import Dashboard
from elumenta_nb._values import Origin

pytestmark = pytest.mark.slow  # real calls: `make test`, not `make test-quick`


class Screen:
    """What a shell shows, kept."""

    is_kernel = is_live = True

    def __init__(self):
        self.shown, self.updated = [], []

    def loop(self):
        return None

    def origin(self):
        return Origin(notebook="here.ipynb@000001")

    def show(self, data, metadata=None, *, slot=""):
        self.shown.append((slot, data))

    def update(self, slot, data, metadata=None):
        self.updated.append((slot, data))


@pytest.fixture
def session():
    el.configure(mode="sandbox")
    return el.session()


@pytest.fixture
def past(session):
    """Three made-up months in the sandbox's ledger."""
    session.sandbox("past")
    return session


def at_once(work):
    work()


def later(_work):
    """Leave charts as stills."""


def texts(widget) -> str:
    own = str(getattr(widget, "value", "") or "")
    return own + "".join(texts(child) for child in getattr(widget, "children", ()))


def test_its_tiles_are_what_the_ledger_says(past):
    dashboard = Dashboard(past, spawn=later)
    board = dashboard.board
    frame = past.spend(since=board.today - timedelta(days=89))
    figures = past.spend(by="category")

    assert board.overview.tokens == frame["tokens"].sum() == board.over_time.to_numpy().sum()
    assert board.overview.failed == (frame["status"] == "failed").sum()
    assert spend.overview(past.ledger(), Where(api="sandbox")).tokens == figures["tokens"].sum()
    assert board.balance.tokens == 1500 - figures["tokens"].sum()
    assert board.forecast.ends_on is not None
    assert board.advice.mix.name == "VIP"
    assert "the cheapest with API access is VIP" in texts(dashboard.widget())


def test_the_budget_is_that_of_this_notebook_else_of_the_time(session):
    def shown():
        return Dashboard(session, shell=Screen(), spawn=later).board.budget

    session.budget(1, origin=Origin(notebook="other.ipynb@000002"))
    assert shown() is None
    session.budget(7, "month")
    session.budget(6, "day")
    assert (shown().name, shown().limit) == ("today", 6)
    session.budget(500, origin=Screen().origin())
    assert (shown().name, shown().limit) == ("this notebook", 500)


def test_the_reason_of_a_failure_is_whole_words_and_says_once_that_it_was_not_charged(session):
    why = "Provider error: the picture could not be made because the model was overloaded by a great many others"
    session.sandbox("fail", "next", "1", *why.split())
    with pytest.raises(el.GenerationFailed):
        session.generate("dall-e-3", "a cat")
    page = texts(Dashboard(session, spawn=later).widget())

    assert "Provider error: the picture could not be made" in page
    assert "GenerationFailed" not in page
    assert "overloaded…<" in page or "overloaded by…<" in page


def test_filters_narrow_every_figure(past):
    dashboard = Dashboard(past, spawn=later)
    widget = dashboard.widget()
    whole = dashboard.board.overview
    dashboard.filters["period"].value = 0
    dashboard.filters["category"].value = ("image",)
    frame = past.spend()
    images = frame[frame["category"] == "image"]

    assert dashboard.board.overview.tokens == images["tokens"].sum() < whole.tokens
    assert dashboard.board.overview.saved == frame.elumenta.by("category").set_index("category").loc["image", "saved"]
    assert set(dashboard.board.groups["category"]) == {"image"}
    assert {row.category for row, _picture in dashboard.board.top} == {"image"}
    assert f"{images['tokens'].sum()} tokens" in texts(widget)
    dashboard.filters["notebook"].value = ("film.ipynb@07aa31",)
    assert dashboard.board.overview.calls == 0
    assert "No call fits these filters" in texts(widget)


@pytest.mark.parametrize("group", ["model", "cell", "notebook", "tag", "source", "user"])
def test_groups_are_those_of_the_accessor(past, group):
    dashboard = Dashboard(past)
    dashboard.widget()
    dashboard.filters["period"].value = 0
    dashboard.filters["group"].value = group
    expected = past.spend().elumenta.by(group)
    expected = expected[expected["tokens"] > 0]

    assert list(dashboard.board.groups["tokens"]) == list(expected["tokens"])
    assert "cell-" not in texts(dashboard.widget())


def test_an_account_with_no_rows_is_told_how_to_begin(session):
    dashboard = Dashboard(session, spawn=later)

    assert "Nothing was spent yet" in dashboard.still()
    assert "%%elumenta text" in texts(dashboard.widget())
    assert dashboard.picture() is None
    assert dashboard.board.forecast.ends_on is None


def test_without_a_key_it_shows_the_ledger_and_no_balance():
    dashboard = Dashboard(el.session())

    assert dashboard.board.balance is None
    assert "not known here" in dashboard.still()


def test_where_widgets_do_not_live_it_is_tables_and_a_picture(past):
    screen = Screen()
    Dashboard(past, shell=screen)._ipython_display_()
    page, picture = (data for _slot, data in screen.shown)

    assert "sora-2" in page["text/html"]
    assert "The balance ends about" in page["text/html"]
    assert "905 tokens" in page["text/plain"]
    assert len(picture["image/png"]) < 300 * 1024 * 4 / 3
    assert not re.search(r"https?://", page["text/html"])


def test_alive_it_shows_the_widget_and_keeps_the_last_state_as_a_still(past):
    screen = Screen()
    dashboard = Dashboard(past, shell=screen, live=True, spawn=at_once)
    dashboard._ipython_display_()

    assert "application/vnd.jupyter.widget-view+json" in screen.shown[-1][1]
    dashboard.filters["category"].value = ("video",)
    slot, data = screen.updated[-2]
    assert slot == screen.shown[0][0]
    assert f"{dashboard.board.overview.tokens} tokens" in data["text/html"]
    assert "image/png" in screen.updated[-1][1]


def test_the_first_paint_waits_for_no_network_and_the_balance_comes_behind_it(past):
    tasks = []
    screen = Screen()
    dashboard = Dashboard(past, shell=screen, live=True, spawn=tasks.append)
    dashboard._ipython_display_()
    assert "905 tokens" in screen.shown[0][1]["text/html"]
    assert dashboard.board.balance is None

    tasks[0]()

    assert dashboard.board.balance.tokens == 585
    assert "The balance ends about" in screen.updated[-2][1]["text/html"]


def charts(widget) -> list:
    found = [widget] if type(widget).__name__ == "JupyterChart" else []
    return found + [chart for child in getattr(widget, "children", ()) for chart in charts(child)]


def test_charts_that_move_replace_the_stills_and_follow_the_filters(past):
    dashboard = Dashboard(past, spawn=at_once)
    widget = dashboard.widget()
    over_time, groups, ends = charts(widget)
    before = len(groups.spec["data"]["values"])
    dashboard.filters["category"].value = ("image",)

    assert len(groups.spec["data"]["values"]) == 3 < before
    assert {value["key"] for value in over_time.spec["data"]["values"]} == {"image"}
    assert ends.spec["data"]["values"][0]["mid"] == dashboard.board.balance.tokens
    dashboard.filters["source"].value = ("batch",)
    assert charts(widget) == [ends]


def test_names_from_outside_are_escaped(session):
    with Ledger(session.settings.ledger()) as ledger:
        origin = Origin(notebook="<img src=x onerror=alert(1)>.ipynb", label="<script>", tags=("<b>",))
        [call] = ledger.reserve([Intent(account="sandbox", api="sandbox", category="<i>", model="<u>x</u>", quoted=1, held=1, origin=origin)])  # fmt: skip
        ledger.settle([Settlement(call_id=call, tokens=1)])
    dashboard = Dashboard(session, spawn=later)
    page = dashboard.still() + texts(dashboard.widget())

    assert "&lt;u&gt;x" in page
    for raw in ("<script>", "<img src=x", "<u>x", "<i>"):
        assert raw not in page


def test_it_is_painted_in_time_at_ten_thousand_calls(session):
    """Its sums are made in SQL: building it costs no more than a few reads of the same rows as a frame."""
    with Ledger(session.settings.ledger(), clock=lambda: datetime.now(UTC).timestamp()) as ledger:
        origins = [Origin(notebook=f"n{n % 7}.ipynb", label=f"cell {n % 40}", cell_id=f"c{n % 40}") for n in range(40)]
        for start in range(0, 10_000, 1000):
            calls = ledger.reserve(
                Intent(account="sandbox", api="sandbox", category="text", model=f"m{n % 12}", quoted=1, held=1, origin=origins[n % 40])
                for n in range(start, start + 1000)
            )  # fmt: skip
            ledger.settle(Settlement(call_id=call, tokens=n % 5) for n, call in enumerate(calls))
    Dashboard(session, spawn=later).widget()  # imports are made once for a process
    ratios = []
    for _turn in range(5):
        began = time.perf_counter()
        session.spend(columns="all")
        read = time.perf_counter()
        Dashboard(session, spawn=later).widget()
        ratios.append((time.perf_counter() - read) / (read - began))

    assert statistics.median(ratios) < 4


def test_a_past_is_written_once_and_taken_from_the_balance(past):
    told = past.sandbox("past")

    assert told == {"calls": 255, "tokens": 915, "balance": 585}
    assert past.balance().tokens == 1500 - past.spend()["tokens"].sum() == 585
    assert past.ledger().check() == []
