"""`df.elumenta` on frames of a real ledger: the same sums as SQL, real dtypes, and words for what is no spend frame."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from elumenta_nb._errors import BadParam
from elumenta_nb._ledger import Ledger, Release, Restored, Settlement
from elumenta_nb._spend import spend_frame
from elumenta_nb._spend._frames import GROUPS

sys.path.insert(0, str(Path(__file__).parent.parent / "ledger"))

from ledger_making import HERE, LIVE, Clock, intent, reserve

MOSCOW = ZoneInfo("Europe/Moscow")


@pytest.fixture
def ledger(tmp_path):
    """Five days of calls of two people, three models and tags; one failed, one open, one restored."""
    clock = Clock()
    there = replace(HERE, notebook="b.ipynb-9", label="", cell_id="c7", tags=("film",), user="boris")
    bare = replace(HERE, notebook="c.ipynb-7", label="", cell_id="", tags=())
    with Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock) as ledger:
        paid = reserve(ledger)
        ledger.settle([Settlement(call_id=paid, tokens=13, balance_after=270)])
        clock.move(86_400)
        film = reserve(ledger, category="video", model="sora-2", quoted=42, held=42, origin=there)
        ledger.settle([Settlement(call_id=film, tokens=42, balance_after=228)])
        clock.move(10 * 3600)  # past midnight in Moscow
        ledger.restore([Restored(account="7", api=LIVE, category="image", model="dall-e-3", provider="OpenAI",
                                 restored_from=paid, saved=13, origin=HERE)])  # fmt: skip
        failed = reserve(ledger, origin=there)
        ledger.release([Release(call_id=failed, error="provider_error")])
        clock.move(3 * 86_400)
        said = reserve(ledger, category="text", model="gpt-5", quoted=3, held=3, origin=bare)
        ledger.settle([Settlement(call_id=said, tokens=3)])
        reserve(ledger, category="video", model="sora-2", quoted=42, held=42, origin=there)
        yield ledger


@pytest.fixture
def frame(ledger):
    return spend_frame(ledger)


@pytest.mark.parametrize("by", GROUPS)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Moscow", "America/New_York"])
def test_by_is_what_the_ledger_sums_itself(ledger, frame, by, zone):
    pd.testing.assert_frame_equal(frame.elumenta.by(by, tz=zone), spend_frame(ledger, by=by, tz=zone))


def test_by_takes_any_column_of_words(frame):
    table = frame.elumenta.by("status")

    assert dict(zip(table["status"], table["calls"], strict=True)) == {"completed": 4, "failed": 1, "reserved": 1}
    with pytest.raises(BadParam, match="no group 'modle'"):
        frame.elumenta.by("modle")


def test_over_time_leaves_no_day_out_and_counts_days_of_the_zone(frame):
    table = frame.elumenta.over_time(tz="Europe/Moscow")

    assert list(table.columns) == ["video", "image", "text"]
    assert list(table["video"]) == [0, 42, 0, 0, 0, 0]
    assert table.index[0] == pd.Timestamp("2026-11-22")
    assert {str(dtype) for dtype in table.dtypes} == {"Int64"}
    assert table.to_numpy().sum() == frame["tokens"].sum()
    assert list(frame.elumenta.over_time("W", None)["tokens"]) == [13, 45]
    assert frame.elumenta.over_time("M", "user").index.name == "start"


@pytest.mark.parametrize("by", ["tag", "cell", "notebook", "model", "source"])
def test_over_time_by_anything(frame, by):
    assert len(frame.elumenta.over_time(by=by)) == 5 or by == "tag"


def test_top_keeps_columns_and_dtypes(frame):
    top = frame.elumenta.top(2)

    assert list(top["tokens"]) == [42, 13]
    pd.testing.assert_series_equal(top.dtypes, frame.dtypes)
    with pytest.raises(BadParam, match="at least 1"):
        frame.elumenta.top(0)


def test_cumulative_ends_with_the_sum(frame):
    table = frame.elumenta.cumulative()

    assert list(table["total"]) == [13, 55, 58]
    assert str(table["total"].dtype) == "Int64"


def test_the_forecast_takes_the_last_balance_a_reply_told_less_what_came_after(frame):
    found = frame.elumenta.forecast()

    assert found.balance == 228 - 3
    assert found.ends_on is None
    assert "Too little data" in found.outlook


def test_roubles_are_decimals_on_a_stated_basis(frame):
    table = frame.elumenta.to_rubles(plan="VIP")

    assert {type(value) for value in table["rubles"]} == {Decimal}
    assert table["rubles"].iloc[0] == Decimal("25.91")  # 13 of 1500 tokens for 2990 ₽
    assert "VIP" in table.attrs["rubles_basis"]
    assert table.attrs["rubles_total"] == "115.61"  # of all 58 tokens at once, not of rounded rows
    assert frame.elumenta.by("model").elumenta.to_rubles(rate="2.5")["rubles"].iloc[0] == Decimal("105.00")


@pytest.mark.parametrize(
    "basis",
    [
        {},
        {"plan": "VIP", "rate": "1"},
        {"plan": "Gold"},
        {"package": "VIP"},
        {"rate": 1.5},
        {"rate": "-1"},
        {"rate": "x"},
    ],
)
def test_a_basis_is_one_known_thing(frame, basis):
    with pytest.raises(BadParam):
        frame.elumenta.to_rubles(**basis)


@pytest.mark.parametrize(
    ("ask", "column"),
    [
        (lambda table: table.elumenta.by("model"), "tokens"),
        (lambda table: table.elumenta.over_time(), "started_at"),
        (lambda table: table.elumenta.top(), "tokens"),
        (lambda table: table.elumenta.cumulative(), "started_at"),
        (lambda table: table.elumenta.forecast(5), "tokens"),
        (lambda table: table.elumenta.to_rubles(rate=1), "tokens"),
    ],
)
def test_another_frame_is_told_what_it_lacks(ask, column):
    table = pd.DataFrame({"model": pd.Categorical(["a"])})

    with pytest.raises(BadParam, match=column):
        ask(table)


def test_floats_and_naive_times_are_no_spend_frame(frame):
    with pytest.raises(BadParam, match="float64"):
        frame.assign(tokens=1.5).elumenta.top()
    with pytest.raises(BadParam, match="zone"):
        frame.assign(started_at=datetime(2026, 1, 1)).elumenta.cumulative()


def test_an_empty_frame_answers_everything(tmp_path):
    with Ledger(f"sqlite:///{tmp_path / 'empty.db'}") as ledger:
        frame = spend_frame(ledger)

    assert [len(frame.elumenta.by(by)) for by in GROUPS] == [0] * len(GROUPS)
    assert len(frame.elumenta.over_time()) == 0
    assert len(frame.elumenta.cumulative()) == 0
    assert frame.elumenta.forecast(100).ends_on is None


def test_the_excel_form_opens_in_a_russian_locale(frame, tmp_path):
    path = tmp_path / "spend.csv"
    frame.assign(label="=1+1", latency_s=1.5).elumenta.to_rubles(plan="VIP").elumenta.to_excel_csv(path)
    raw = path.read_bytes()
    table = pd.read_csv(path, sep=";", decimal=",", encoding="utf-8-sig")

    assert raw.startswith(b"\xef\xbb\xbf")
    assert b"\r\n" in raw
    assert list(table["tokens"]) == list(frame["tokens"])
    assert table["rubles"].iloc[0] == 25.91
    assert set(table["label"]) == {"'=1+1"}


READERS = {"parquet": pd.read_parquet, "arrow": pd.read_feather}


@pytest.mark.parametrize("form", READERS)
def test_a_file_for_other_programs_has_the_values_and_the_dtypes(frame, tmp_path, form):
    """One line each; roubles stay decimals, and a frame that was filtered is written without its old numbers."""
    path = tmp_path / f"spend.{form}"
    written = frame.elumenta.to_rubles(plan="VIP").query("tokens > 0")
    getattr(written.elumenta, f"to_{form}")(path)
    read = READERS[form](path)

    assert read.dtypes.astype(str).to_dict() == written.dtypes.astype(str).to_dict()
    assert str(read["started_at"].dtype) == "datetime64[us, UTC]"
    pd.testing.assert_frame_equal(read, written.reset_index(drop=True))
    assert [read["rubles"].iloc[0], read["rubles"].sum()] == [Decimal("25.91"), written["rubles"].sum()]


@pytest.mark.parametrize("form", READERS)
def test_without_pyarrow_a_file_for_other_programs_names_the_extra_and_is_not_begun(tmp_path, form):
    code = f"""
import sys
sys.modules["pyarrow"] = None  # as where it is not installed
import elumenta_nb as el
try:
    el.spend().elumenta.to_{form}("spend.{form}")
except el.ConfigError as error:
    print(error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "elumenta-nb[batch]" in done.stdout, done.stderr
    assert not (tmp_path / f"spend.{form}").exists()


ORDERS = ["import pandas, elumenta_nb", "import elumenta_nb, pandas", "from pandas import DataFrame; import elumenta_nb",
          "import elumenta_nb; from pandas.api.types import is_bool"]  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
def test_the_accessor_is_there_whichever_is_imported_first(order):
    code = f"""
{order}
import json, sys, importlib, pandas
ours = [type(f).__name__ for f in sys.meta_path if type(f).__module__.startswith("elumenta_nb")]
reloaded = importlib.reload(sys.modules["elumenta_nb"])
print(json.dumps([hasattr(pandas.DataFrame, "elumenta"), ours, pandas.__spec__.loader.get_filename("pandas")]))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    there, left, where = json.loads(done.stdout)

    assert there
    assert left == []
    assert where.endswith("__init__.py")


def test_importing_us_imports_no_pandas_and_a_column_of_that_name_is_still_reached():
    code = "import sys, elumenta_nb; assert 'pandas' not in sys.modules; import pandas as pd; print(pd.DataFrame({'elumenta': [7]})['elumenta'][0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "7", done.stderr


def test_days_around_a_change_of_clocks_are_those_of_the_wall(tmp_path):
    """New York, 1 November 2026: 05:30 UTC is still the night of the 1st, as is 04:30 UTC the day after."""
    clock = Clock(datetime(2026, 11, 1, 3, 30, tzinfo=ZoneInfo("UTC")))
    with Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock) as ledger:
        for hours in (0, 2, 23, 25):
            clock.now = (datetime(2026, 11, 1, 3, 30, tzinfo=ZoneInfo("UTC")) + timedelta(hours=hours)).timestamp()
            [call] = ledger.reserve([intent()])
            ledger.settle([Settlement(call_id=call, tokens=1)])
        frame = spend_frame(ledger)

    table = frame.elumenta.by("day", tz="America/New_York")
    assert [f"{day:%d}" for day in table["day"]] == ["31", "01"]
    assert list(table["calls"]) == [1, 3]
