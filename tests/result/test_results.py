import copy
import pickle
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

from store_making import LIVE, SANDBOX, buy, call, mp4, noise, picture, png, store_at, wav

from elumenta_nb._result import Result, code_of, parse_json
from elumenta_nb._values import Receipt, Reply

PAID = Receipt(call_id=41, model="dall-e-3", status="completed", tokens=13, quoted=13, latency_s=4.1)


def result(tmp_path, data=None, *, text=None, api=LIVE, shape=None, viewer=None, **given) -> Result:
    store = store_at(tmp_path)
    columns = {"category": "text", "model": "gpt-5"} if text is not None else {}
    take = buy(store, call(**columns), api=api, data=data, text=text, **given)
    return Result.from_take(take, base=store.base, call_id=41, receipt=PAID, shape=shape, viewer=viewer)


def kib_added(one: Result, tmp_path) -> float:
    """How much a real notebook grows by a result."""

    def size(outputs) -> int:
        notebook = new_notebook(cells=[new_code_cell("%%elumenta", outputs=outputs)])
        nbformat.validate(notebook)
        nbformat.write(notebook, tmp_path / "n.ipynb")
        return (tmp_path / "n.ipynb").stat().st_size

    data, metadata = one._repr_mimebundle_()
    return (size([new_output("execute_result", data, metadata=metadata, execution_count=1)]) - size([])) / 1024


def test_a_result_has_every_attribute_people_rely_on(tmp_path):
    one = result(
        tmp_path, picture("WEBP"), url="https://cdn.example/x", usage={"total_tokens": 9}, balance=270, raw={"id": 1}
    )
    assert (one.id, one.generation_id, one.model, one.category, one.status) == (41, 1, "dall-e-3", "image", "completed")
    assert (one.tokens, one.quoted, one.balance_after, one.reused, one.llm_usage) == (
        13,
        13,
        270,
        False,
        {"total_tokens": 9},
    )
    assert one.url == "https://cdn.example/x"
    assert one.mime == "image/webp"
    assert one.raw == {"id": 1}
    assert one.path == one.value == one.paths[0]
    assert one.text is None
    assert str(one) == str(one.path)
    assert one.receipt == PAID
    assert one.latency is None


def test_a_text_result_is_its_text(tmp_path):
    one = result(tmp_path, text="Hello")
    assert str(one) == one.value == one.text == "Hello"
    assert one.path is None
    assert one.paths == []
    assert one.mime == "text/plain"


def test_a_restored_result_cost_nothing_now_and_tells_what_it_cost(tmp_path):
    store = store_at(tmp_path)
    one = Result.from_take(buy(store, call(), data=png()), reused=True)
    assert (one.tokens, one.paid, one.reused) == (0, 13, True)


def test_bought_and_restored_look_the_same_in_a_notebook(tmp_path):
    store = store_at(tmp_path)
    take = buy(store, call(), data=png())
    bought, restored = (Result.from_take(take, base=store.base, reused=reused) for reused in (False, True))
    assert bought._repr_mimebundle_()[0] == restored._repr_mimebundle_()[0]


def test_a_result_without_a_file_comes_from_the_reply(tmp_path):
    one = Result.from_reply(
        Reply(id="gen_1", status="completed", text="x", tokens=2), model="gpt-5", category="text", tokens=2
    )
    assert (one.text, one.tokens, one.generation_id, one.status) == ("x", 2, "gen_1", "completed")
    failed = Result.from_reply(Reply(status="failed"), model="sora-2", category="video", tokens=0)
    assert str(failed) == ""
    assert failed.value is None
    assert "failed" in failed._repr_mimebundle_()[0]["text/plain"]


def test_it_survives_copy_pickle_and_comparison(tmp_path):
    one = result(tmp_path, mp4(), raw={"a": [1, {"b": None}]})
    for twin in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert twin == one
        assert hash(twin) == hash(one)
        assert twin._repr_mimebundle_() == one._repr_mimebundle_()
    assert one != result(tmp_path, png())
    assert len({one, copy.copy(one)}) == 1


@pytest.mark.parametrize("text", ["short", "x" * 10**6, "line\nline\n" * 1000, "\x1b[31m"])
def test_repr_is_one_short_line(tmp_path, text):
    shown = repr(result(tmp_path, text=text, raw={"big": "y" * 10**6}))
    assert len(shown) < 200
    assert "\n" not in shown
    assert "\x1b" not in shown


def test_repr_of_media_names_the_file_and_the_sandbox(tmp_path):
    shown = repr(result(tmp_path, png(), api=SANDBOX))
    assert "SANDBOX" in shown
    assert "elumenta_media/image-dall-e-3-" in shown
    assert str(tmp_path) not in shown


def test_no_absolute_path_and_no_address_of_the_server_gets_into_the_notebook(tmp_path):
    for data in (png(), mp4(), wav(60)):
        bundle = str(result(tmp_path, data, url="https://cdn.example/x?signature=abc")._repr_mimebundle_())
        assert str(tmp_path) not in bundle
        assert "cdn.example" not in bundle


def test_the_prompt_is_not_in_the_outputs_metadata(tmp_path):
    store = store_at(tmp_path)
    one = Result.from_take(buy(store, call("a secret plan"), data=png()), base=store.base)
    assert "secret" not in str(one._repr_mimebundle_())


BIG = {
    "5 MiB video": lambda: mp4(padding=5 * 1024 * 1024),
    "noisy PNG": lambda: noise(1400, 1100),
    "noisy WebP": lambda: noise(900, 900, "WEBP"),
    "large JPEG": lambda: noise(1800, 1200, "JPEG"),
    "long audio": lambda: wav(400),
    "audio just short enough": lambda: wav(12.7),
    "picture just small enough": lambda: noise(258, 258),
    "transparent": lambda: png(3000, 3000, mode="RGBA"),
    "unknown": lambda: b"\0\1\2" * 10**6,
}


@pytest.mark.parametrize("kind", BIG)
@pytest.mark.parametrize("api", [LIVE, SANDBOX])
def test_a_notebook_grows_by_at_most_300_kib(tmp_path, kind, api):
    assert kib_added(result(tmp_path, BIG[kind](), api=api), tmp_path) <= 300


def test_embedding_takes_up_to_two_mib_whole(tmp_path):
    small = result(tmp_path, mp4(padding=1024 * 1024), viewer="embed")
    assert "data:video/mp4;base64," in small._repr_mimebundle_()[0]["text/html"]
    large = result(tmp_path, mp4(padding=3 * 1024 * 1024), viewer="embed")
    assert "data:video/mp4" not in large._repr_mimebundle_()[0]["text/html"]
    assert kib_added(large, tmp_path) <= 300
    data = noise(500, 500)
    whole = result(tmp_path, data, viewer="embed").shown().files[0].picture
    assert whole.data == data


@pytest.mark.parametrize(("name", "value"), [("COLAB_RELEASE_TAG", "release-colab"), ("SERVER_SOFTWARE", "voila/0.5")])
def test_where_links_cannot_work_media_are_embedded_without_asking(tmp_path, monkeypatch, name, value):
    one = result(tmp_path, mp4(padding=300_000))
    assert "data:video" not in one._repr_mimebundle_()[0]["text/html"]
    monkeypatch.setenv(name, value)
    assert "data:video" in one._repr_mimebundle_()[0]["text/html"]


def test_nbconvert_shows_picture_player_and_text_and_runs_nothing(tmp_path):
    from nbconvert import HTMLExporter

    evil = "<script>alarm()</script> `<b>` ![x](https://evil.example/p.png) [x](javascript:alarm())"
    results = [
        result(tmp_path, picture("WEBP"), api=SANDBOX),
        result(tmp_path, mp4()),
        result(tmp_path, wav(60)),
        result(tmp_path, text=evil),
        result(tmp_path, text=evil, shape="text"),
        result(tmp_path, text=evil, shape="code"),
        result(tmp_path, text='{"a": "<script>alarm()</script>"}', shape="json"),
        result(tmp_path, b"<svg onload='alarm()'/>"),
    ]
    cells = []
    for one in results:
        data, metadata = one._repr_mimebundle_()
        output = new_output("execute_result", data, metadata=metadata, execution_count=1)
        cells.append(new_code_cell("%%elumenta", outputs=[output]))
    page, _resources = HTMLExporter().from_notebook_node(new_notebook(cells=cells))
    assert 'src="data:image/jpeg;base64,' in page
    assert re.search(r'<video [^>]*src="elumenta_media/image-', page)
    assert re.search(r'<audio [^>]*src="elumenta_media/image-', page)
    assert "<script>alarm" not in page
    assert "onload='alarm" not in page
    assert "evil.example/p.png" in page  # as a link to look at
    assert not re.search(r"<img[^>]+evil|href=.javascript", page)


def test_a_file_that_no_link_can_reach_is_embedded_where_it_is_small(tmp_path):
    store = store_at(tmp_path / "elsewhere")
    take = buy(store, call(), data=mp4(padding=1000))
    one = Result.from_take(take, base=tmp_path / "notebook")
    page = one._repr_mimebundle_()[0]["text/html"]
    assert "data:video/mp4;base64," in page
    assert "href" not in page
    assert str(tmp_path) not in page


def test_links_work_from_folders_with_spaces_and_cyrillic(tmp_path):
    store = store_at(tmp_path)
    moved = tmp_path / "мои медиа #1 100%"
    take = buy(type(store)(moved, fallback=tmp_path / "x", base=tmp_path), call(), data=mp4())
    page = Result.from_take(take, base=tmp_path)._repr_mimebundle_()[0]["text/html"]
    assert (
        'src="%D0%BC%D0%BE%D0%B8%20%D0%BC%D0%B5%D0%B4%D0%B8%D0%B0%20%231%20100%25/video' in page
        or 'src="%D0%BC' in page
    )
    assert "#1" not in page.split("poster")[0]


def test_a_file_that_went_missing_still_shows_its_facts(tmp_path):
    for data in (png(), mp4(), wav()):
        one = result(tmp_path, data)
        one.path.unlink()
        assert "elumenta_media" in one._repr_mimebundle_()[0]["text/plain"]


@pytest.mark.parametrize("data", [b"<svg onload='alert(1)'/>", b"<html><script>alert(1)</script>", b"{}", b"%PDF-1.7"])
def test_a_document_instead_of_a_picture_is_kept_and_never_shown(tmp_path, data):
    one = result(tmp_path, data)
    assert set(one._repr_mimebundle_()[0]) == {"text/plain"}
    assert one.path.read_bytes() == data
    assert set(result(tmp_path, data, viewer="embed")._repr_mimebundle_()[0]) == {"text/plain"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ("Sure:\n\n```json\n[1, 2]\n```\nDone.", [1, 2]),
        ("~~~\n5\n~~~", 5),
        ("null", None),
        ("not json", "not json"),
        ("[" * 100_000, "[" * 100_000),
        ('{"a": NaN}', '{"a": NaN}'),
    ],
)  # fmt: skip
def test_value_of_json_is_parsed_where_it_can_be(tmp_path, text, value):
    assert result(tmp_path, text=text, shape="json").value == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1 column 1"),
        ("x", "line 1 column 1"),
        ('{"a": 1,\n}', "line 2 column 1"),
        ('```json\n{"a": 1\n"b": 2}\n```', "line 2 column 1"),
        ("{'a': 1}", "double quotes"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "deeply"),
    ],
    ids=range(7),
)
def test_json_that_is_none_says_where_it_ends_to_be(text, why):
    with pytest.raises(ValueError, match=why):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = 1", "x = 1"),
        ("```python\nx = 1\n```", "x = 1"),
        ("Here:\n```python\nx = '''\n~~~'''\n```\nBye", "x = '''\n~~~'''"),
        ("````\n```\n````", "```"),
        ("```python\nx = 1", "```python\nx = 1"),
    ],
)
def test_code_is_what_the_first_fence_holds(text, code):
    assert code_of(text) == code
