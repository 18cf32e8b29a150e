"""Charts: drawn with no network and no Altair for a still, with words for who cannot see them, and tables without the extra."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from elumenta_nb import _spend as spend
from elumenta_nb._errors import BadParam
from elumenta_nb._language import set_language
from elumenta_nb._ledger import Ledger
from elumenta_nb._past import live_through

TODAY = date(2026, 11, 22)


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    """Three made-up months."""
    path = tmp_path_factory.mktemp("past") / "ledger.db"
    live_through(path, account="sandbox", api="sandbox", balance=1500, today=TODAY)
    with Ledger(path) as ledger:
        return spend.spend_frame(ledger, api="sandbox")


def values(spec):
    return spec["data"]["values"]


def test_the_stacked_bars_are_the_table_and_stand_on_each_other(frame):
    table = frame.elumenta.over_time("W", tz="UTC")
    drawn = pd.DataFrame(values(spend.stacked(table)))

    assert drawn["tokens"].sum() == table.to_numpy().sum() == frame["tokens"].sum()
    assert (drawn["high"] - drawn["low"] == drawn["tokens"]).all()
    for _start, pile in drawn.groupby("start"):
        assert list(pile["low"]) == [0, *pile["high"][:-1]]


def test_many_series_are_drawn_as_eight_and_the_rest(frame):
    table = pd.DataFrame({f"m{n}": [20 - n] for n in range(12)}, index=[pd.Timestamp("2026-11-01")], dtype="Int64")
    spec = spend.stacked(table)

    assert len(spec["encoding"]["color"]["scale"]["domain"]) == 9
    assert sum(value["tokens"] for value in values(spec)) == table.to_numpy().sum()


@pytest.mark.parametrize("many", [8, 9, 10, 20])
def test_no_two_series_have_one_colour(many):
    table = pd.DataFrame({f"m{n}": [30 - n] for n in range(many)}, index=[pd.Timestamp("2026-11-01")], dtype="Int64")
    scale = spend.stacked(table)["encoding"]["color"]["scale"]

    assert len(set(scale["range"])) == len(scale["range"]) == len(scale["domain"])


def test_a_cell_is_called_by_its_label_and_notebook_and_never_by_an_id(frame):
    names = [value["name"] for value in values(frame.elumenta.plot_by("cell").spec)]

    assert "final cut · film.ipynb" in names
    assert "cell with no label · lesson.ipynb" in names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("plot", [lambda f: f.elumenta.plot_over_time(), lambda f: f.elumenta.plot_by("model"),
                                  lambda f: f.elumenta.plot_cumulative()])  # fmt: skip
def test_each_is_a_still_with_its_table_and_words(frame, plot, tmp_path):
    picture = plot(frame)
    data, metadata = picture._repr_mimebundle_()
    picture.save(tmp_path / "chart.svg")

    assert "application/vnd.jupyter.widget-view+json" not in data
    assert len(data["image/png"]) < 300 * 1024
    assert "915 tokens" in metadata["image/png"]["alt"]
    assert data["text/plain"] == str(picture.frame)
    assert (tmp_path / "chart.svg").read_text().startswith("<svg")
    assert type(picture.chart).__module__.startswith("altair")
    with pytest.raises(BadParam, match=r"\.svg or \.png"):
        picture.save(tmp_path / "chart.pdf")


def test_the_widget_carries_vega_with_it_and_names_no_address(frame):
    chart = spend.widget(frame.elumenta.plot_over_time().spec)

    assert "cdn." not in chart._esm
    assert "esm.sh" not in chart._esm
    assert len(chart._esm) > 500_000
    assert "currentColor" in str(chart.spec)
    other = spend.bars(frame.elumenta.by("model"), ("model",))
    spend.redraw(chart, other)
    assert values(chart.spec) == values(other)


def test_a_still_imports_no_altair(tmp_path):
    code = (
        "import sys, pandas as pd; from elumenta_nb import _spend as s;"
        "t = pd.DataFrame({'text': [3]}, index=[pd.Timestamp('2026-11-01')], dtype='Int64');"
        "assert s.svg(s.stacked(t)).startswith('<svg'); assert 'altair' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_without_the_extra_the_table_is_shown_and_a_line_says_what_to_install(tmp_path):
    code = """
import sys
sys.modules["altair"] = sys.modules["vl_convert"] = None  # as if not installed
import pandas as pd
from elumenta_nb import _spend as s, _errors
t = pd.DataFrame({"model": ["gpt-5"], "tokens": [3], "calls": [1]})
data, _ = s.Picture(s.bars(t, ("model",)), t)._repr_mimebundle_()
assert "image/png" not in data and "gpt-5" in data["text/html"] and "elumenta-nb[plots]" in data["text/plain"], data
try:
    s.svg({})
except _errors.ConfigError as error:
    print(error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert 'pip install "elumenta-nb[plots]"' in done.stdout, done.stderr


def test_the_outlook_runs_from_the_balance_to_nothing():
    found = spend.forecast([10, 0, 20, 10, 5, 15, 10] * 4, TODAY, 200)
    drawn = pd.DataFrame(values(spend.outlook(found, TODAY)))

    assert list(drawn.iloc[0][["low", "mid", "high"]]) == [200, 200, 200]
    assert drawn.iloc[-1]["high"] == 0
    assert (drawn["low"] <= drawn["high"]).all()
    assert spend.outlook(spend.forecast([1], TODAY, 200), TODAY) is None


def test_russian_charts_have_russian_months(frame):
    set_language("ru")
    spec = frame.elumenta.plot_over_time().spec

    assert spec["config"]["locale"]["time"]["shortMonths"][0] == "янв"
    assert "нояб" in spend.svg(spec) or "ноя" in spend.svg(spec)


def test_the_made_up_past_adds_up_and_is_the_same_each_time(tmp_path):
    made = []
    for name, today in (("a", TODAY), ("b", TODAY - timedelta(days=45))):
        path = Path(tmp_path / f"{name}.db")
        made.append(live_through(path, account="sandbox", api="sandbox", balance=1500, today=today))
        with Ledger(path) as ledger:
            assert ledger.check() == []
            frame = spend.spend_frame(ledger, api="sandbox")
        assert frame["tokens"].sum() == made[-1]["tokens"]
        assert frame["held"].sum() == 0
        last = frame["balance_after"].dropna().iloc[-1]
        assert last == 1500 - made[-1]["tokens"]
        assert frame["started_at"].dt.date.max() < today

    assert made[0] == made[1]
