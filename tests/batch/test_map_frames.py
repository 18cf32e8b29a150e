"""What comes back from a map: a frame with the same index, every row in its place, texts and files, nothing exotic."""

import io
import pickle

import pandas as pd
import pytest

import elumenta_nb as el
from elumenta_nb import _errors as e


def test_every_row_has_its_answer_and_what_it_cost(world, goods_of):
    frame = goods_of(12)

    made = world.map(frame, out="tagline")

    assert list(made.columns) == ["tagline", "tokens", "status", "error", "call_id"]
    assert made.index.equals(frame.index)
    assert [str(kind) for kind in made.dtypes] == ["string", "Int64", "category", "string", "Int64"]
    assert (made["status"] == "completed").all()
    assert made["error"].isna().all()
    assert all(label.replace("k", "mug ") in text for label, text in made["tagline"].items())
    assert made["tokens"].sum() == world.charged == world.booked == 12
    assert set(world.bought.values()) == {1}


def test_a_series_is_mapped_by_its_values(world):
    made = world.map(pd.Series(["tea", "mint"], index=[7, 9]), "{{ value }} in a word")

    assert list(made.index) == [7, 9]
    assert sorted(world.bought) == ["mint in a word", "tea in a word"]


def test_equal_rows_are_bought_once_and_each_has_the_answer(world):
    frame = pd.DataFrame({"title": ["mug", "cup", "mug", "mug"]})

    made = world.map(frame)

    assert world.bought == {"mug: one line": 1, "cup: one line": 1}
    assert made["result"][0] == made["result"][2] == made["result"][3] != made["result"][1]
    assert list(made["tokens"]) == [1, 1, 0, 0]
    assert made["call_id"][0] == made["call_id"][2]


def test_equal_rows_are_each_bought_where_nothing_is_reused(world):
    made = world.map(pd.DataFrame({"title": ["mug", "mug"]}), reuse="off")
    again = world.map(pd.DataFrame({"title": ["mug", "mug"]}), reuse="off")

    assert world.bought == {"mug: one line": 4}
    assert made["call_id"].nunique() == again["call_id"].nunique() == 2


def test_a_value_is_data_and_never_a_template(world):
    world.map(pd.DataFrame({"title": ["{{ 7 * 6 }}", "{% raw %}"]}), "say {{title}}")

    assert sorted(world.bought) == ["say {% raw %}", "say {{ 7 * 6 }}"]


def test_a_column_whose_name_is_no_word_is_read_from_the_row(world):
    world.map(pd.DataFrame({"unit price": [3, 4]}), "for {{ row['unit price'] }} euros")

    assert sorted(world.bought) == ["for 3 euros", "for 4 euros"]


def test_media_are_files_beside_the_notebook_and_parameters_come_from_columns(world, goods_of):
    frame = goods_of(3).assign(seed=[5, 6, 7])

    made = world.map(frame, "{{title}}", model="photon-flash", params={"seed": "seed"}, format="png")

    assert all((world.home / path).read_bytes().startswith(b"\x89PNG") for path in made["result"])
    assert all(path.startswith("elumenta_media/") for path in made["result"])
    given = [seen.json for seen in world.server.seen if seen.path.endswith("/generate")]
    assert sorted(body["params"]["seed"] for body in given) == [5, 6, 7]


def test_recordings_are_read_from_a_column_of_files(world, tmp_path):
    import wave

    for name in ("one", "two"):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(b"\0\1" * (8000 if name == "one" else 24000))
    frame = pd.DataFrame({"file": [str(tmp_path / "one.wav"), str(tmp_path / "two.wav")]})

    made = world.map(frame, None, model="whisper", input="file")

    assert (made["status"] == "completed").all()
    assert made["result"].nunique() == 2


def test_results_are_there_on_demand_also_for_a_frame_that_was_written_and_read(world, goods_of):
    made = world.map(goods_of(4))

    read = pickle.loads(pickle.dumps(made))
    file = io.BytesIO()
    made.to_parquet(file)
    again = pd.read_parquet(file)
    results = world.session.results_of(again)

    assert read.equals(made)
    assert [str(result) for result in results] == list(made["result"])
    assert world.session.last_map.result("k2").text == made["result"]["k2"]
    with pytest.raises(e.BadParam, match="no column call_id"):
        world.session.results_of(goods_of(2))


def test_a_gallery_is_small_and_safe(world):
    frame = pd.DataFrame({"title": ["a harbour", "a mill"]}, index=["<script>alert(1)</script>", "b"])
    made = world.map(frame, "{{title}}", model="photon-flash")

    shown = world.session.last_map.gallery()._repr_mimebundle_()

    assert made["status"].eq("completed").all()
    assert shown["text/html"].count("<img") == 2
    assert "<script>" not in shown["text/html"]
    assert "&lt;script&gt;" in shown["text/html"]
    assert len(shown["text/html"]) < 300 * 1024


def test_the_module_and_the_accessor_map_too(world, goods_of, monkeypatch):
    monkeypatch.setenv("ELUMENTA_API_KEY", world.server.api_key)
    monkeypatch.setenv("ELUMENTA_BASE_URL", world.server.url)
    el.reset()
    frame = goods_of(2)

    made = el.map(frame, "{{title}}!", model="gpt-5-nano")
    same = frame.elumenta.map("{{title}}!", model="gpt-5-nano")

    assert same["result"].equals(made["result"])
    assert same["tokens"].sum() == 0
    assert el.last_map.frame["result"].equals(made["result"])
    assert [result.text for result in same.elumenta.results()] == list(made["result"])
    assert "map" not in el.__all__, "a star import would replace Python's own"
