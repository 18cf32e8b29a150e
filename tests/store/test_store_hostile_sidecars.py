"""A folder of results travels with a stranger's notebook: nothing in a sidecar is believed that could do harm."""

import json
import os

import pytest
from store_making import LIVE, buy, call, mp4, png, rewrite, sidecar, store_at


def first_media(**columns):
    return lambda row: {"media": [{**row["media"][0], **columns}]}


FIELDS = {
    "file above the folder": first_media(file="../secret.png"),
    "file two above": first_media(file="../../secret.png"),
    "absolute file": first_media(file="/etc/passwd"),
    "windows path": first_media(file="C:\\Windows\\win.ini"),
    "backslashes": first_media(file="..\\secret.png"),
    "file in a folder": first_media(file="sub/a.png"),
    "hidden file": first_media(file=".env"),
    "device": first_media(file="CON.png"),
    "nul in the name": first_media(file="a\0.png"),
    "newline in the name": first_media(file="a\n.png"),
    "no name": first_media(file=""),
    "name of 300 characters": first_media(file="a" * 300),
    "name that is a number": first_media(file=1),
    "name that is a list": first_media(file=["a.png"]),
    "name missing": lambda row: {"media": [{"mime": "image/png", "bytes": 1, "sha256": "0" * 64}]},
    "poster above the folder": first_media(poster="../../.ssh/id_rsa"),
    "absolute poster": first_media(poster="/etc/passwd"),
    "poster that is a number": first_media(poster=7),
    "no hash": first_media(sha256=None),
    "short hash": first_media(sha256="00"),
    "hash in capitals": first_media(sha256="A" * 64),
    "no size": first_media(bytes=None),
    "negative size": first_media(bytes=-1),
    "size that is true": first_media(bytes=True),
    "size as text": first_media(bytes="5"),
    "another size": first_media(bytes=5),
    "another hash": first_media(sha256="0" * 64),
    "mime with a tag": first_media(mime="text/html<script>"),
    "mime with parameters": first_media(mime="image/png;charset=x"),
    "mime that lies": first_media(mime="text/html"),
    "svg told as picture": first_media(mime="image/svg+xml"),
    "width beyond reason": first_media(width=10**9),
    "width as text": first_media(width="64"),
    "duration not finite": first_media(duration_s=float("inf")),
    "duration negative": first_media(duration_s=-5),
    "media not a list": lambda _row: {"media": {"file": "a.png"}},
    "media of strings": lambda _row: {"media": ["a.png"]},
    "a thousand media": lambda row: {"media": row["media"] * 1000},
    "id with a path": lambda _row: {"id": "../../x"},
    "id missing": lambda _row: {"id": None},
    "no fingerprint": lambda _row: {"fingerprint": ""},
    "text that is a number": lambda _row: {"text": 5},
    "model that is a list": lambda _row: {"model": []},
    "model of a megabyte": lambda _row: {"model": "x" * 10**6},
    "tokens as text": lambda _row: {"tokens": "13"},
    "tokens negative": lambda _row: {"tokens": -1},
    "tokens beyond reason": lambda _row: {"tokens": 10**12},
    "tokens nan": lambda _row: {"tokens": float("nan")},
    "balance true": lambda _row: {"balance_after": True},
    "generation id a mapping": lambda _row: {"generation_id": {"a": 1}},
    "generation id endless": lambda _row: {"generation_id": "x" * 10_000},
    "date nonsense": lambda _row: {"created_at": "yesterday"},
    "date without a zone": lambda _row: {"created_at": "2026-11-20T10:00:00"},
    "date missing": lambda _row: {"created_at": None},
    "params a list": lambda _row: {"params": [1]},
    "raw a text": lambda _row: {"raw": "x"},
    "fresh a text": lambda _row: {"fresh": "yes"},
    "url endless": lambda _row: {"url": "https://" + "a" * 10_000},
    "latency a text": lambda _row: {"latency_s": "1"},
    "version of the future": lambda _row: {"elumenta_nb": 2},
}


@pytest.mark.parametrize("change", FIELDS.values(), ids=FIELDS)
def test_a_sidecar_with_a_bad_field_is_damaged_not_shown_and_not_an_error(tmp_path, change):
    (tmp_path / "secret.png").write_bytes(png())
    take = buy(store_at(tmp_path), call(run="r1"), data=png())
    rewrite(take, **change(sidecar(take)))
    store = store_at(tmp_path)
    assert store.find(call(run="r2"), LIVE) is None
    assert store.takes() == []
    assert len(store.damaged[take.path]) > 10


CONTENT = {
    "empty": b"",
    "not json": b"<html>",
    "half": b'{"elumenta_nb": 1, "id": "',
    "nested 100,000 deep": b"[" * 100_000,
    "objects nested deep": b'{"elumenta_nb":' * 50_000,
    "binary": bytes(range(256)) * 10,
    "utf-16": '{"elumenta_nb": 1}'.encode("utf-16"),
    "lone surrogate": b'{"elumenta_nb": 1, "text": "\\ud800"}',
    "huge number": b'{"elumenta_nb": 1, "tokens": 1' + b"0" * 5000 + b"}",
    "only the mark": b'{"elumenta_nb": 1}',
    "too large": b'{"elumenta_nb": 1, "text": "' + b"x" * (17 * 1024 * 1024) + b'"}',
}


@pytest.mark.parametrize("data", CONTENT.values(), ids=CONTENT)
def test_a_sidecar_that_cannot_be_read_is_damaged_and_harms_nobody_else(tmp_path, data):
    store = store_at(tmp_path)
    take = buy(store, call(run="r1"), data=png())
    bad = take.folder / "image-x-0000000000.elumenta.json"
    bad.write_bytes(data)
    fresh = store_at(tmp_path)
    assert fresh.find(call(run="r2"), LIVE).id == take.id
    assert list(fresh.damaged) == [bad]


def test_other_json_beside_the_takes_is_not_ours_and_no_damage(tmp_path):
    store = store_at(tmp_path)
    take = buy(store, call(run="r1"), data=png())
    (take.folder / "notes.json").write_text("{")
    (take.folder / "mine.elumenta.json").write_text('{"something": "else"}')
    assert store_at(tmp_path).damaged == {}


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png())
    store = store_at(tmp_path)
    take = buy(store, call(run="r1"), data=png())
    take.media[0].path.unlink()
    take.media[0].path.symlink_to(secret)
    after = store_at(tmp_path)
    assert after.find(call(run="r2"), LIVE) is None
    assert "ordinary" in after.damaged[take.path]


def test_a_sidecar_or_poster_that_is_a_link_is_damaged(tmp_path):
    store = store_at(tmp_path)
    take = buy(store, call(run="r1"), data=png())
    elsewhere = tmp_path / "row.json"
    take.path.rename(elsewhere)
    take.path.symlink_to(elsewhere)
    video = buy(store, call("clip", run="r1"), data=mp4())
    video.media[0].poster.unlink()
    video.media[0].poster.symlink_to("/etc/passwd")
    after = store_at(tmp_path)
    assert after.find(call(run="r2"), LIVE) is None
    assert after.find(call("clip", run="r2"), LIVE) is None
    assert set(after.damaged) == {take.path, video.path}


def test_a_pipe_where_a_file_should_be_does_not_hang(tmp_path):
    store = store_at(tmp_path)
    take = buy(store, call(run="r1"), data=png())
    take.media[0].path.unlink()
    os.mkfifo(take.media[0].path)
    os.mkfifo(take.folder / "pipe.elumenta.json")
    after = store_at(tmp_path)
    assert after.find(call(run="r2"), LIVE) is None
    assert len(after.damaged) == 2


def test_two_sidecars_of_one_id_are_one_take(tmp_path):
    store = store_at(tmp_path)
    take = buy(store, call(run="r1"), data=png())
    (take.folder / "copy.elumenta.json").write_bytes(take.path.read_bytes())
    after = store_at(tmp_path)
    assert len(after.takes()) == 1
    assert after.find(call(run="r2"), LIVE) is not None
    assert after.find(call(run="r2"), LIVE) is None


def test_a_reply_that_json_cannot_hold_still_gives_a_sidecar(tmp_path):
    deep: list = []
    for _level in range(5000):
        deep = [deep]
    store = store_at(tmp_path)
    for n, raw in enumerate([{"deep": deep}, {"odd": object()}, {"s": "\ud800"}, {"nan": float("nan")}, {1: 2}]):
        one = call(str(n), category="text", model="gpt-5", run="r1")
        buy(store, one, text="kept \ud800", raw=raw)
        found = store_at(tmp_path).find(call(str(n), category="text", model="gpt-5", run="r2"), LIVE)
        assert found.text == "kept \ud800"
        json.loads(found.path.read_text())
