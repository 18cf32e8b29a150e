"""A `dask.dataframe` in, one out: bought partition by partition, never at the computing, never twice."""

from pathlib import Path

import dask.dataframe as dd
import pandas as pd
import pytest

from elumenta_nb import BadParam, ConfigError
from elumenta_nb._session import Session

TEMPLATE = "{{title}}: one line"


@pytest.fixture
def goods() -> pd.DataFrame:
    titles = [f"thing {i % 20}" for i in range(24)]
    titles[5] = None
    return pd.DataFrame({"title": titles}, index=pd.Index([f"k{i:02}" for i in range(24)], name="key"))


def mapped(session, data, threads, **options):
    return session.map(data, TEMPLATE, model="gpt-5-nano", scheduler=threads.client, **{"budget": 100} | options)


def test_a_partition_each_and_equal_rows_of_different_partitions_are_bought_once(goods, served, threads):
    frame = dd.from_pandas(goods, npartitions=4)
    session = Session()

    plan = mapped(session, frame, threads, dry_run=True)
    before = served.spent
    done = mapped(session, frame, threads)
    bought = served.spent
    table = done.compute()

    assert (plan.rows, plan.calls, plan.to_buy, plan.price, plan.refused) == (24, 19, 19, 19, 1)
    assert before == 0
    assert bought == served.spent == 19, "computing it buys nothing"
    assert set(served.charged().values()) == {1}
    assert done.npartitions == frame.npartitions
    assert done.divisions == frame.divisions
    assert table.index.equals(frame.compute().index), "as Dask keeps it"
    assert int(table["tokens"].sum()) == 19
    assert table["status"].tolist() == ["failed" if pd.isna(title) else "completed" for title in goods["title"]]
    assert table["error"].dropna().tolist() == ["title is empty"]
    assert all(
        f"{title}: one line" in text
        for title, text in zip(goods["title"], table["result"], strict=True)
        if pd.notna(title)
    )
    assert int(session.spend()["tokens"].sum()) == 19


def test_again_it_costs_nothing_and_a_larger_frame_only_what_is_new(goods, served, threads):
    session = Session()
    mapped(session, dd.from_pandas(goods, npartitions=2), threads)
    more = pd.concat([goods, pd.DataFrame({"title": ["a new one"]}, index=["k99"])])

    plan = mapped(session, dd.from_pandas(more, npartitions=5), threads, dry_run=True)
    done = mapped(session, dd.from_pandas(more, npartitions=5), threads).compute()

    assert (plan.stored, plan.to_buy) == (19, 1)
    assert served.spent == 20
    assert int(done["tokens"].sum()) == 1


def test_a_budget_that_does_not_reach_leaves_rows_in_their_place(goods, served, threads):
    done = mapped(Session(), dd.from_pandas(goods, npartitions=4), threads, budget=7).compute()

    assert served.spent == 7
    assert int((done["status"] == "completed").sum()) >= 7
    assert set(done["status"]) == {"completed", "failed", "not bought"}
    assert len(done) == len(goods)


def test_a_series_and_what_other_columns_say(served, threads):
    series = dd.from_pandas(pd.Series(["Mug", "Lamp"], name="title"), npartitions=2)

    done = Session().map(series, "{{value}}: one line", model="gpt-5-nano", scheduler=threads.client).compute()

    assert ["Mug: one line" in text for text in done["result"]] == [True, False]
    assert served.spent == 2


def test_when_the_account_has_no_more_tokens_the_partitions_to_come_are_not_begun(goods, served, threads):
    served.server.control("balance", "3")

    done = mapped(Session(), dd.from_pandas(goods, npartitions=12), threads, concurrency=1).compute()

    assert served.server.account.balance == 0
    assert len(done) == len(goods)
    assert int((done["status"] == "completed").sum()) == 3
    assert (done["status"] == "not bought").sum() >= 15
    assert done.loc[done["status"] == "not bought", "error"].notna().all()


def test_without_a_cluster_it_says_what_is_missing(goods, served):
    with pytest.raises(BadParam, match="scheduler="):
        Session().map(dd.from_pandas(goods, npartitions=2), TEMPLATE, model="gpt-5-nano")
    assert served.spent == 0


def test_a_column_that_is_not_there_is_found_before_any_partition_is_read(served, threads):
    def never(_number: int) -> pd.DataFrame:
        raise AssertionError("read")

    frame = dd.from_map(never, [0, 1], meta=pd.DataFrame({"titel": pd.Series(dtype="str")}))

    with pytest.raises(BadParam, match="'title'") as error:
        mapped(Session(), frame, threads)
    assert "titel" in error.value.hint


def test_a_partition_that_cannot_be_read_stops_the_plan_and_nothing_is_bought(served, threads):
    def broken(number: int) -> pd.DataFrame:
        if number:
            raise OSError("the disk is gone")
        return pd.DataFrame({"title": ["Mug"]})

    frame = dd.from_map(broken, [0, 1], meta=pd.DataFrame({"title": pd.Series(dtype="str")}), enforce_metadata=False)

    with pytest.raises(ConfigError, match="the disk is gone"):
        mapped(Session(), frame, threads)
    assert served.spent == 0
    assert list(Path.cwd().glob("elumenta_media/map-*")) == []
