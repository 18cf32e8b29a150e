from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "ledger"))

from ledger_making import HERE, LIVE, NOON, Clock, intent, reserve

from elumenta_nb._errors import BadParam
from elumenta_nb._ledger import Elsewhere, Ledger, Release, Restored, Settlement, Where
from elumenta_nb._spend import COLUMNS, spend_frame

INTERFACE = (
    "id, started_at, ended_at, account, user, host, notebook, cell_id, execution_count, label, tags, source, category,"
    " model, provider, status, quoted, held, tokens, balance_after, latency_s, generation_id, attempts, reused,"
    " restored_from, prompt_chars, prompt_hash, params, media, error"
).split(", ")
LEFT_OUT = {"params", "media", "prompt_hash", "error", "attempts"}
DTYPES = {
    "datetime64[us, UTC]": {"started_at", "ended_at"},
    "category": set("account user host notebook cell_id label tags source category model provider status".split()),
    "float64": {"latency_s"},
    "bool": {"reused"},
    str(pd.Series(["a"]).dtype): {"prompt_hash", "params", "media", "error"},  # pandas 3: str, pandas 2: object
}
GROUP_COLUMNS = ["calls", "tokens", "held", "failed", "reused", "saved", "first_at", "last_at"]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(tmp_path, clock):
    with Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock) as ledger:
        yield ledger


@pytest.fixture
def lived(ledger, clock):
    """A completed picture, a restored one, a failed one, an open video of another notebook, a sandbox call."""
    paid = reserve(ledger, params={"size": "1024x1024"}, prompt_chars=40, prompt_hash="ab")
    ledger.accept([(paid, 4711)])
    clock.move(4)
    ledger.settle([Settlement(call_id=paid, tokens=13, balance_after=270, media=("hero.png", "hero-2.png"))])
    ledger.restore([
        Restored(account="7", api=LIVE, category="image", model="dall-e-3", provider="OpenAI", restored_from=paid,
                 saved=13, origin=HERE)
    ])  # fmt: skip
    failed = reserve(ledger)
    ledger.release([Release(call_id=failed, error="provider_error")])
    clock.move(3600)
    other = replace(HERE, notebook="b.ipynb-9", label="", cell_id="c7", tags=("film",), user="boris")
    reserve(ledger, category="video", model="sora-2", quoted=42, held=42, origin=other)
    sandbox = reserve(ledger, account="sandbox", api="sandbox")
    ledger.settle([Settlement(call_id=sandbox, tokens=9)])
    return ledger


def dtype(name: str) -> str:
    return next((kind for kind, names in DTYPES.items() if name in names), "Int64")


@pytest.mark.parametrize("rows", ["none", "some"])
def test_the_columns_and_their_dtypes_are_those_of_the_interface(request, rows):
    ledger = request.getfixturevalue("ledger" if rows == "none" else "lived")
    frame = spend_frame(ledger)
    assert list(frame.columns) == [name for name in INTERFACE if name not in LEFT_OUT] == list(COLUMNS)
    whole = spend_frame(ledger, columns="all")
    assert list(whole.columns) == INTERFACE
    assert {name: str(kind) for name, kind in whole.dtypes.items()} == {name: dtype(name) for name in INTERFACE}
    assert len(frame) == (0 if rows == "none" else 4)


def test_a_row_says_what_happened(lived):
    row = spend_frame(lived, columns="all").iloc[0].to_dict()
    started = pd.Timestamp(NOON)
    assert row == row | {
        "id": 1, "started_at": started, "ended_at": started + pd.Timedelta(4, "s"), "account": "7", "user": "anna",
        "host": "lab", "notebook": "story.ipynb-1a2b", "cell_id": "c1", "execution_count": 4, "label": "hero",
        "tags": "demo, hero", "source": "magic", "category": "image", "model": "dall-e-3", "provider": "OpenAI",
        "status": "completed", "quoted": 13, "held": 0, "tokens": 13, "balance_after": 270, "latency_s": 4.0,
        "generation_id": 4711, "attempts": 1, "reused": False, "prompt_chars": 40, "prompt_hash": "ab",
        "params": '{"size":"1024x1024"}', "media": "hero.png, hero-2.png", "error": "",
    }  # fmt: skip
    assert pd.isna(row["restored_from"])


def test_missing_is_missing_and_not_zero(lived):
    frame = spend_frame(lived)
    video = frame[frame.model == "sora-2"].iloc[0]
    assert (video.status, video.held, video.tokens) == ("reserved", 42, 0)
    assert all(pd.isna(video[name]) for name in ("ended_at", "balance_after", "latency_s", "generation_id"))
    assert frame.restored_from.tolist()[1] == 1
    assert frame.reused.tolist() == [False, True, False, False]
    assert frame.tokens.sum() == 13
    assert int((frame.tokens + frame.held).sum()) == 55


def test_statuses_and_sources_are_all_in_their_categories(lived):
    frame = spend_frame(lived)
    assert set(frame.status.cat.categories) == {"reserved", "pending", "completed", "failed", "cancelled", "unknown"}
    assert set(frame.source.cat.categories) == {"magic", "panel", "python", "batch", "elsewhere"}
    assert list(frame.model.cat.categories) == ["dall-e-3", "sora-2"]


def test_ids_that_are_names_are_text(ledger):
    for generation in ("gen_a", 12, None):
        call_id = reserve(ledger)
        if generation is not None:
            ledger.accept([(call_id, generation)])
    frame = spend_frame(ledger)
    assert frame.generation_id.dtype == pd.Series(["a"]).dtype
    assert frame.generation_id.tolist()[:2] == ["gen_a", "12"]
    assert pd.isna(frame.generation_id[2])


def test_sandbox_rows_are_kept_apart(lived):
    assert set(spend_frame(lived).account) == {"7"}
    assert spend_frame(lived, api="sandbox").tokens.tolist() == [9]
    assert spend_frame(lived, api="https://other").empty
    assert spend_frame(lived, account="8").empty


def test_columns_are_those_asked_for_in_their_order(lived):
    assert list(spend_frame(lived, columns=["tokens", "model", "params"]).columns) == ["tokens", "model", "params"]
    assert spend_frame(lived, columns="status").status.tolist() == ["completed", "completed", "failed", "reserved"]
    with pytest.raises(BadParam, match="toknes") as caught:
        spend_frame(lived, columns=["toknes"])
    assert "tokens" in caught.value.hint


def test_a_frame_can_be_written_to_csv_and_sorted_by_any_column(lived, tmp_path):
    frame = spend_frame(lived, columns="all")
    frame.to_csv(tmp_path / "spend.csv", index=False)
    assert len(pd.read_csv(tmp_path / "spend.csv")) == 4
    for name in frame.columns:
        assert len(frame.sort_values(name)) == 4


@pytest.mark.parametrize(
    ("by", "keys", "expected"),
    [
        ("model", ["model", "category"], [("dall-e-3", "image", 3, 13, 0), ("sora-2", "video", 1, 0, 42)]),
        ("category", ["category"], [("image", 3, 13, 0), ("video", 1, 0, 42)]),
        ("notebook", ["notebook"], [("story.ipynb-1a2b", 3, 13, 0), ("b.ipynb-9", 1, 0, 42)]),
        ("user", ["user"], [("anna", 3, 13, 0), ("boris", 1, 0, 42)]),
        ("tag", ["tag"], [("demo", 3, 13, 0), ("hero", 3, 13, 0), ("film", 1, 0, 42)]),
        ("cell", ["notebook", "cell", "category", "model"],
         [("story.ipynb-1a2b", "hero", "image", "dall-e-3", 3, 13, 0), ("b.ipynb-9", "c7", "video", "sora-2", 1, 0, 42)]),
    ],
)  # fmt: skip
def test_sums_by_group_the_dearest_first(lived, by, keys, expected):
    frame = spend_frame(lived, by=by)
    assert list(frame.columns) == keys + GROUP_COLUMNS
    found = [tuple(row) for row in frame[[*keys, "calls", "tokens", "held"]].itertuples(index=False)]
    assert found == expected
    first = frame.iloc[0]
    assert (first.failed, first.reused, first.saved) == (1, 1, 13)
    noon = pd.Timestamp(NOON).floor("s")
    assert (first.first_at, first.last_at) == (noon, noon + pd.Timedelta(4, "s"))


def test_sums_show_their_times_to_the_second(ledger):
    assert NOON.microsecond
    ledger.settle([Settlement(call_id=ledger.reserve([intent()])[0], tokens=1)])
    frames = [spend_frame(ledger, by="model"), spend_frame(ledger).elumenta.by("model")]

    assert [list(frame["first_at"]) for frame in frames] == [[pd.Timestamp(NOON).floor("s")]] * 2
    assert not [frame for frame in frames if f"{NOON:.%f}" in str(frame)]


@pytest.mark.parametrize("by", ["model", "cell", "day", "tag"])
def test_an_empty_group_frame_has_its_columns_and_dtypes(ledger, lived, by, tmp_path):
    full = spend_frame(lived, by=by)
    empty = spend_frame(lived, by=by, api="https://nobody")
    assert empty.empty
    assert list(empty.columns) == list(full.columns)
    assert [str(kind) for kind in empty.dtypes] == [str(kind) for kind in full.dtypes]
    assert {str(kind) for kind in full.dtypes} <= {"category", "Int64", "datetime64[us, UTC]", "datetime64[us]"}


@pytest.mark.parametrize("by", ["model", "category", "notebook", "user", "tag", "cell"])
def test_sums_of_a_period_equal_running_sums(lived, by):
    pd.testing.assert_frame_equal(spend_frame(lived, by=by), spend_frame(lived, by=by, since="2020-01-01"))


def test_groups_add_up_to_the_rows(lived):
    frame = spend_frame(lived)
    for by in ("model", "category", "notebook", "user", "cell", "day"):
        grouped = spend_frame(lived, by=by)
        assert (grouped.tokens.sum(), grouped.held.sum(), grouped.calls.sum()) == (
            frame.tokens.sum(), frame.held.sum(), len(frame)
        )  # fmt: skip


def days(frame: pd.DataFrame) -> dict[str, int]:
    return {str(day.date()): calls for day, calls in zip(frame.day, frame.calls, strict=True)}


def test_days_are_those_of_the_zone(ledger, clock):
    for hours in (0, 11, 12, 13):  # 12:00, 23:00, 0:00 and 1:00 UTC
        clock.now = (NOON + timedelta(hours=hours)).timestamp()
        reserve(ledger)
    assert days(spend_frame(ledger, by="day", tz="UTC")) == {"2026-11-22": 2, "2026-11-23": 2}
    assert days(spend_frame(ledger, by="day", tz="Europe/Moscow")) == {"2026-11-22": 1, "2026-11-23": 3}
    assert days(spend_frame(ledger, by="day", tz=ZoneInfo("America/New_York"))) == {"2026-11-22": 4}
    assert days(spend_frame(ledger, by="day", tz="Asia/Kathmandu")) == {"2026-11-22": 1, "2026-11-23": 3}


def test_a_day_on_which_the_clocks_change_has_23_or_25_hours(ledger, clock):
    zone = ZoneInfo("Europe/Berlin")
    hour = datetime(2026, 3, 27, tzinfo=zone).astimezone(UTC)
    expected: dict[str, int] = {}
    while hour < datetime(2026, 10, 28, tzinfo=UTC):
        local = hour.astimezone(zone)
        if local.month in {3, 10} and local.day >= 24:
            clock.now = hour.timestamp()
            reserve(ledger)
            expected[str(local.date())] = expected.get(str(local.date()), 0) + 1
        hour += timedelta(hours=1)
    assert days(spend_frame(ledger, by="day", tz=zone)) == expected
    assert (expected["2026-03-29"], expected["2026-10-25"]) == (23, 25)


@pytest.mark.parametrize(
    ("since", "calls"),
    [
        ("2026-11-22", 2),
        ("2026-11-23", 1),
        ("2026-11-23T11:00", 1),
        ("2026-11-23T13:00:00", 0),
        ("2026-11-23T12:00:00+00:00", 1),
        ("1d", 2),
        ("30h", 2),
        (" 2W ", 2),
        ("0d", 1),
        (date(2026, 11, 23), 1),
        (datetime(2026, 11, 23, 11), 1),
        (datetime(2026, 11, 23, 11, tzinfo=ZoneInfo("Europe/Moscow")), 1),
        (datetime(2026, 11, 23, 16, tzinfo=ZoneInfo("Europe/Moscow")), 0),
        (timedelta(hours=3), 1),
        (pd.Timestamp("2026-11-23", tz="UTC"), 1),
        (pd.Timestamp("2026-11-23T11:00"), 1),
        (pd.Timestamp("2026-11-23T13:00"), 0),
        (pd.Timedelta("30h"), 2),
        (np.datetime64("2026-11-23T11:00"), 1),
        (np.datetime64("2026-11-22", "D"), 2),
    ],
)
def test_since_takes_dates_times_and_lengths(ledger, clock, since, calls):
    reserve(ledger)
    clock.move(86_400)
    reserve(ledger)
    now = NOON + timedelta(days=1)
    assert len(spend_frame(ledger, since=since, tz="UTC", now=now)) == calls
    by_model = spend_frame(ledger, by="model", since=since, tz="UTC", now=now)
    assert by_model.calls.sum() == calls


def test_since_without_a_zone_is_in_the_zone_of_the_days(ledger):
    reserve(ledger)  # 15:00:00.25 in Moscow
    assert len(spend_frame(ledger, since="2026-11-22T15:00", tz="Europe/Moscow")) == 1
    assert len(spend_frame(ledger, since="2026-11-22T15:01", tz="Europe/Moscow")) == 0
    assert len(spend_frame(ledger, since="2026-11-22T15:00", tz="UTC")) == 0


@pytest.mark.parametrize("since", ["yesterday-ish", "2026-13-01", "999999999999d", 5, "", pd.NaT, np.datetime64("NaT")])
def test_a_since_that_cannot_be_says_what_can(ledger, since):
    with pytest.raises(BadParam, match="since") as caught:
        spend_frame(ledger, since=since)
    assert "7d" in caught.value.hint


def test_a_group_or_zone_that_is_not_there_is_refused_with_the_nearest(ledger):
    with pytest.raises(BadParam) as caught:
        spend_frame(ledger, by="modle")
    assert "model" in caught.value.hint
    with pytest.raises(BadParam, match="Mars"):
        spend_frame(ledger, tz="Mars/Olympus")


@pytest.mark.parametrize(
    ("where", "calls"),
    [
        (Where(notebook="b.ipynb-9"), 1),
        (Where(category="image"), 3),
        (Where(model="sora-2"), 1),
        (Where(model="nothing"), 0),
        (Where(user="anna"), 3),
        (Where(tag="film"), 1),
        (Where(tag="fil"), 0),
        (Where(source="panel"), 0),
        (Where(source="magic", category="video"), 1),
        (Where(until_us=int(NOON.timestamp()) * 1_000_000 + 250_001), 1),
        (Where(since_us=int(NOON.timestamp()) * 1_000_000 + 250_001, until_us=2**61), 3),
    ],
)
def test_rows_and_sums_can_be_narrowed(lived, where, calls):
    assert len(spend_frame(lived, where=where)) == calls
    assert spend_frame(lived, by="category", where=where).calls.sum() == calls
    assert spend_frame(lived, by="day", where=where).calls.sum() == calls


def test_what_was_spent_elsewhere_is_in_the_frame(ledger):
    item = Elsewhere(
        account="7", api=LIVE, generation_id="g", category="text", model="gpt-5", status="completed", tokens=2,
        started_at=NOON - timedelta(days=40), provider="OpenAI", prompt_chars=4,
    )  # fmt: skip
    ledger.adopt([item])
    row = spend_frame(ledger).iloc[0]
    assert (row.source, row.tokens, row.tags, row.notebook) == ("elsewhere", 2, "", "")


def test_a_tag_may_hold_any_character(ledger):
    odd = ('a"b', "c, d", "метка", "\\")
    reserve(ledger, origin=replace(HERE, tags=odd))
    assert set(spend_frame(ledger, by="tag").tag) == set(odd)
    assert len(spend_frame(ledger, where=Where(tag='a"b'))) == 1
    assert json.loads(spend_frame(ledger, columns=["params"]).params[0]) == {}


def test_many_rows_come_in_pieces_and_in_order(ledger):
    ledger.run([("reserve", [intent(held=n, quoted=n) for n in range(20_000)])])
    frame = spend_frame(ledger)
    assert frame.id.tolist() == list(range(1, 20_001))
    assert frame.held.tolist() == list(range(20_000))
