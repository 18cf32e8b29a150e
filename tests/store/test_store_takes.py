import json
import os
import stat
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from store_making import LIVE, SANDBOX, again, buy, call, mp4, picture, png, rewrite, sidecar, store_at

from elumenta_nb._errors import BadReply, ConfigError, DownloadFailed
from elumenta_nb._store import Store
from elumenta_nb._values import Input, Message, Origin, Reply


def test_a_take_is_restored_whole_in_another_kernel_on_another_machine(tmp_path):
    store = store_at(tmp_path / "here")
    bought = call("a cat", cell="c1", run="r1", source="s1", label="hero", params={"size": "1024x1024"})
    draft = store.begin(bought, LIVE)
    draft.path.write_bytes(picture("WEBP"))
    take = draft.commit(
        Reply(id="gen_1", status="completed", url="https://cdn.example/x", usage={"total_tokens": 5}, raw={"id": "gen_1", "n": [1]}),
        tokens=13, quoted=9, call_id=7, latency_s=4.1, balance_after=270,
    )  # fmt: skip
    (tmp_path / "here").rename(tmp_path / "there")
    found = store_at(tmp_path / "there").find(again(bought, "r2"), LIVE)
    assert found is not None
    assert replace(found, folder=take.folder, media=()) == replace(take, media=())
    item, old = found.media[0], take.media[0]
    assert item.path.parent == tmp_path / "there" / "elumenta_media"
    assert item.path.read_bytes() == picture("WEBP")
    assert (item.mime, item.size_bytes, item.digest, item.width, item.height) == (
        "image/webp",
        old.size_bytes,
        old.digest,
        64,
        48,
    )
    assert str(tmp_path) not in json.dumps(sidecar(found))


def test_five_identical_calls_of_one_run_buy_five_and_are_restored_as_five_in_order(tmp_path):
    store = store_at(tmp_path)
    one = call(cell="c1", run="r1")
    bought = []
    for n in range(5):
        assert store.find(one, LIVE) is None
        bought.append(buy(store, one, data=png(8 + n)).id)
    for kernel in (store, store_at(tmp_path)):
        run = again(one, f"r-{id(kernel)}")
        assert [take.id if (take := kernel.find(run, LIVE)) else None for _ in range(6)] == [*bought, None]


def test_the_same_cell_comes_first_then_the_same_source_then_the_oldest(tmp_path):
    store = store_at(tmp_path)
    oldest = buy(store, call(cell="c1", source="s1", run="r1"), data=png(8))
    other = buy(store, call(cell="c2", source="s2", run="r2"), data=png(9))
    mine = buy(store, call(cell="c3", source="s3", run="r3"), data=png(10))

    def found(**origin):
        return store.find(call(run=f"new {origin}", **origin), LIVE).id

    assert found(cell="c3", source="s1") == mine.id
    assert found(cell="", source="s2") == other.id
    assert found(cell="c9", source="s9") == oldest.id
    assert found() == oldest.id


def test_what_fresh_bought_last_is_shown_and_older_takes_stay(tmp_path):
    store = store_at(tmp_path)
    first = buy(store, call(cell="c1", run="r1"), data=png(8))
    second = buy(store, call(cell="c1", run="r2", fresh=True), data=png(9))
    third = buy(store, call(cell="c1", run="r3", fresh=True), data=png(10))
    order = [store.find(call(cell="c1", run="r4"), LIVE).id for _ in range(3)]
    assert order == [third.id, second.id, first.id]
    assert first.media[0].path.exists()
    assert store.find(call(cell="c1", run="r5", fresh=True), LIVE) is None


def test_a_loop_bought_anew_is_restored_in_its_order(tmp_path):
    store = store_at(tmp_path)
    buy(store, call(cell="c1", run="r1"), data=png(7))
    loop = [buy(store, call(cell="c1", run="r2", fresh=True), data=png(8 + n)).id for n in range(3)]
    assert [store.find(call(cell="c1", run="r3"), LIVE).id for _ in range(3)] == loop


def test_policies(tmp_path):
    store = store_at(tmp_path)
    text = call("why", category="text", model="gpt-5", cell="c1", run="r1")
    media = call(cell="c2", run="r1")
    buy(store, text, text="because")
    buy(store, media, data=png())
    assert store.find(again(text, "r2"), LIVE, policy="all").text == "because"
    assert store.find(again(text, "r3"), LIVE, policy="media") is None
    assert store.find(again(media, "r3"), LIVE, policy="media") is not None
    assert store.find(again(media, "r4"), LIVE, policy="off") is None
    assert store.find(replace(again(media, "r5"), reuse="off"), LIVE) is None


def test_a_take_of_the_sandbox_never_fills_a_live_call_unless_only_is_asked(tmp_path):
    store = store_at(tmp_path)
    made = buy(store, call(cell="c1", run="r1"), api=SANDBOX, data=png())
    assert store.find(call(cell="c1", run="r2"), LIVE) is None
    assert store.find(call(cell="c1", run="r3"), LIVE, policy="only").id == made.id
    paid = buy(store, call(cell="c1", run="r4"), data=png())
    assert store.find(call(cell="c1", run="r5"), LIVE, policy="only").id == paid.id
    assert store.find(call(cell="c1", run="r6"), SANDBOX).id == made.id


def test_a_sidecar_that_claims_another_origin_or_model_is_not_used(tmp_path):
    store = store_at(tmp_path)
    take = buy(store, call(cell="c1", run="r1"), data=png())
    rewrite(take, api=SANDBOX)
    assert store_at(tmp_path).find(call(cell="c1", run="r2"), LIVE) is None
    rewrite(take, api=LIVE, model="sora-2")
    assert store_at(tmp_path).find(call(cell="c1", run="r2"), LIVE) is None


def test_everything_that_was_given_is_in_the_fingerprint_and_nothing_of_the_origin(tmp_path):
    store = store_at(tmp_path)
    base = call("x", params={"size": "1x1"})
    changed = [
        replace(base, prompt="y"),
        replace(base, model="flux-1.1-pro"),
        replace(base, category="video"),
        replace(base, params={"size": "1x2"}),
        replace(base, params={}),
        replace(base, messages=(Message("user", "hi"),)),
        replace(base, inputs=(Input(param="image_url", url="https://a"),)),
        replace(base, inputs=(Input(param="image_url", digest="00"),)),
    ]
    prints = {store.fingerprint(one, LIVE) for one in [base, *changed]} | {store.fingerprint(base, SANDBOX)}
    assert len(prints) == len(changed) + 2
    same = replace(base, origin=Origin(cell_id="z", run="z"), fresh=True, stream=True, reuse="media")
    assert store.fingerprint(same, LIVE) == store.fingerprint(base, LIVE)
    reordered = replace(base, params=dict(reversed(list({"a": 1, "b": 2}.items()))))
    assert store.fingerprint(reordered, LIVE) == store.fingerprint(replace(base, params={"a": 1, "b": 2}), LIVE)


def test_a_text_cut_in_the_middle_is_kept_but_not_shown_again(tmp_path):
    store = store_at(tmp_path)
    draft = store.begin(call("x", category="text", model="gpt-5", run="r1"), LIVE)
    take = draft.commit(Reply(text="half an ans"), tokens=2, complete=False)
    assert store.find(call("x", category="text", model="gpt-5", run="r2"), LIVE) is None
    assert store.take(take.id).text == "half an ans"


def test_a_take_is_found_by_its_id_and_by_the_row_that_bought_it(tmp_path):
    store = store_at(tmp_path)
    draft = store.begin(call(), LIVE)
    draft.path.write_bytes(png())
    take = draft.commit(Reply(id=1), tokens=13, call_id=41)
    assert store.take(take.id) == store.of_call(41, LIVE) == take
    assert store.of_call(41, SANDBOX) is None
    assert store.of_call(41, LIVE, take.fingerprint) == take
    assert [one.id for one in store.takes()] == [take.id]


def test_a_take_of_another_ledger_s_row_of_that_number_is_not_this_row_s(tmp_path):
    store = store_at(tmp_path)
    draft = store.begin(call("a colleague's", category="text", model="gpt-5"), LIVE)
    draft.commit(Reply(text="another answer"), tokens=2, call_id=41)
    mine = store.fingerprint(call("mine", category="text", model="gpt-5"), LIVE)

    assert store.of_call(41, LIVE, mine) is None
    draft = store.begin(call("mine", category="text", model="gpt-5"), LIVE)
    take = draft.commit(Reply(text="my answer"), tokens=2, call_id=41)
    assert store.of_call(41, LIVE, mine) == take


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda take: take.media[0].path.unlink(), "missing"),
        (lambda take: take.media[0].path.write_bytes(b"x"), "bytes"),
        (lambda take: take.media[0].path.write_bytes(png(color=(1, 2, 3))[: take.media[0].size_bytes].ljust(take.media[0].size_bytes, b"\0")), "hash"),
        (lambda take: take.path.write_bytes(b"{"), "JSON"),
        (lambda take: take.path.write_bytes(take.path.read_bytes()[:100]), "JSON"),
        (lambda take: rewrite(take, text=None, media=[]), "neither"),
        (lambda take: rewrite(take, elumenta_nb=99), "newer"),
    ],
)  # fmt: skip
def test_a_damaged_take_is_passed_over_and_the_store_says_why(tmp_path, harm, why):
    store = store_at(tmp_path)
    spoilt = buy(store, call(run="r1"), data=png())
    sound = buy(store, call(run="r2"), data=png(9))
    harm(spoilt)
    for kernel in (store_at(tmp_path), store):
        assert kernel.find(call(run="r3"), LIVE).id == sound.id
    assert why in next(text for path, text in kernel.damaged.items() if path == spoilt.path)
    assert kernel.take(spoilt.id) is None


def test_a_file_changed_after_it_was_verified_is_noticed(tmp_path):
    store = store_at(tmp_path)
    take = buy(store, call(run="r1"), data=png())
    assert store.find(call(run="r2"), LIVE) is not None
    path = take.media[0].path
    path.write_bytes(bytes(reversed(path.read_bytes())))
    os.utime(path, ns=(1, 1))
    assert store.find(call(run="r3"), LIVE) is None


def test_a_file_copied_with_another_time_is_still_sound(tmp_path):
    store = store_at(tmp_path)
    take = buy(store, call(run="r1"), data=png())
    os.utime(take.media[0].path, ns=(1, 1))
    assert store.find(call(run="r2"), LIVE).id == take.id


def test_a_new_take_of_another_kernel_is_seen_at_once(tmp_path):
    mine, theirs = store_at(tmp_path), store_at(tmp_path)
    assert mine.find(call(run="r1"), LIVE) is None
    bought = buy(theirs, call(run="r2"), data=png())
    assert mine.find(call(run="r3"), LIVE).id == bought.id
    bought.path.unlink()
    assert mine.find(call(run="r4"), LIVE) is None


def test_a_sidecar_edited_in_place_is_read_again(tmp_path):
    store = store_at(tmp_path)
    take = buy(store, call("x", category="text", model="gpt-5", run="r1"), text="one")
    stamp = take.folder.stat()
    rewrite(take, text="two")
    os.utime(take.folder, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    again_ = call("x", category="text", model="gpt-5", run="r2")
    assert (store.find(again_, LIVE) or store.find(again_, LIVE)).text == "two"


def test_a_thousand_takes_are_read_once(tmp_path):
    store = store_at(tmp_path)
    take = buy(store, call("0", category="text", model="gpt-5", run="r1"), text="x")
    row = sidecar(take)
    for n in range(1000):
        one = call(str(n), category="text", model="gpt-5")
        changed = {**row, "id": f"{n:010x}", "prompt": str(n), "fingerprint": store.fingerprint(one, LIVE)}
        (take.folder / f"text-{n}.elumenta.json").write_text(json.dumps(changed))
    old = time.time() - 100
    os.utime(take.folder, (old, old))
    kernel = store_at(tmp_path)

    def timed(n, run):
        began = time.perf_counter()
        found = kernel.find(call(str(n), category="text", model="gpt-5", run=run), LIVE)
        return time.perf_counter() - began, found

    first, found = timed(500, "r2")
    assert found is not None
    rest = min(timed(n, "r3")[0] for n in range(501, 520))
    assert rest < first / 10


def test_media_gets_the_extension_of_its_bytes_whatever_the_server_said(tmp_path):
    store = store_at(tmp_path)
    take = buy(store, call(), data=mp4(), url="https://cdn.example/picture.png")
    assert take.media[0].path.suffix == ".mp4"
    assert take.media[0].mime == "video/mp4"
    svg = buy(store, call(), data=b"<svg onload='alert(1)'/>")
    assert svg.media[0].path.name.endswith(".svg.txt")


def test_a_video_gets_a_poster_from_its_thumbnail_or_a_drawn_one(tmp_path):
    store = store_at(tmp_path)
    drawn = buy(store, call(), data=mp4(width=360, height=640)).media[0]
    assert (drawn.width, drawn.height, drawn.duration_s) == (360, 640, 5.0)
    assert drawn.poster.read_bytes().startswith(b"\xff\xd8")
    draft = store.begin(call(), LIVE)
    draft.path.write_bytes(mp4())
    draft.poster_path.write_bytes(picture("WEBP", 320, 180))
    given = draft.commit(Reply(id=1), tokens=1).media[0]
    assert given.poster.stat().st_size < drawn.poster.stat().st_size
    draft = store.begin(call(), LIVE)
    draft.path.write_bytes(mp4())
    draft.poster_path.write_bytes(b"<svg/>")
    assert draft.commit(Reply(id=1), tokens=1).media[0].poster.read_bytes().startswith(b"\xff\xd8")
    assert [path.name for path in store.folder.iterdir() if path.name.startswith(".")] == []


def test_a_reply_without_any_result_is_an_error_that_says_it_was_paid(tmp_path):
    draft = store_at(tmp_path).begin(call(), LIVE)
    with pytest.raises(BadReply) as caught:
        draft.commit(Reply(id=1, status="completed"), tokens=13)
    assert (caught.value.spent, caught.value.tokens) == ("yes", 13)


def test_a_discarded_draft_leaves_nothing(tmp_path):
    store = store_at(tmp_path)
    draft = store.begin(call(), LIVE)
    draft.path.write_bytes(b"half a file")
    draft.discard()
    draft.discard()
    assert list(store.folder.iterdir()) == []


def test_leftovers_of_killed_kernels_go_and_downloads_in_progress_stay(tmp_path):
    store = store_at(tmp_path)
    draft = store.begin(call(), LIVE)
    draft.path.write_bytes(b"still coming")
    dead = store.folder / ".image-x-0123456789.part"
    dead.write_bytes(b"x")
    os.utime(dead, (1, 1))
    store_at(tmp_path).begin(call(), LIVE)
    assert not dead.exists()
    assert draft.path.exists()


def test_a_folder_that_cannot_be_written_falls_back_and_says_so(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    store = Store(tmp_path / "file" / "elumenta_media", fallback=tmp_path / "home")
    assert store.note == ""
    store.check()
    assert store.folder == tmp_path / "home"
    assert str(tmp_path / "home") in store.note
    take = buy(store, call(run="r1"), data=png())
    assert take.media[0].path.parent == tmp_path / "home"
    assert store.find(call(run="r2"), LIVE).id == take.id


def test_no_place_at_all_is_an_error_before_paying(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError) as caught:
        Store(tmp_path / "file" / "a", fallback=tmp_path / "file" / "b").check()
    assert caught.value.spent == "no"
    assert "ELUMENTA_MEDIA_DIR" in caught.value.hint


def test_takes_in_a_folder_that_is_only_readable_are_still_found(tmp_path):
    bought = buy(store_at(tmp_path), call(run="r1"), data=png())
    media = tmp_path / "elumenta_media"
    moved = tmp_path / "home"
    store = Store(tmp_path / "none" / "x", fallback=media)
    assert store.find(call(run="r2"), LIVE).id == bought.id
    assert not moved.exists()


def test_looking_does_not_make_folders(tmp_path):
    store = store_at(tmp_path)
    assert store.find(call(run="r1"), LIVE) is None
    assert store.takes() == []
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_found_before_paying(tmp_path):
    with pytest.raises(ConfigError) as caught:
        store_at(tmp_path).check(need_bytes=2**60)
    assert caught.value.spent == "no"


def test_a_disk_that_fails_after_paying_says_that_it_was_paid(tmp_path):
    store = store_at(tmp_path)
    draft = store.begin(call("x", category="text", model="gpt-5"), LIVE)
    for path in store.folder.iterdir():
        path.unlink()
    store.folder.rmdir()
    with pytest.raises(DownloadFailed) as caught:
        draft.commit(Reply(text="paid words"), tokens=3, call_id=5)
    assert (caught.value.spent, caught.value.tokens, caught.value.call_id) == ("yes", 3, 5)


def test_files_are_private_to_nobody_but_ordinary(tmp_path):
    take = buy(store_at(tmp_path), call(), data=png())
    for path in take.folder.iterdir():
        assert stat.S_ISREG(path.lstat().st_mode)


def test_times_are_utc_and_close_to_now(tmp_path):
    take = buy(store_at(tmp_path), call(), data=png())
    assert abs(datetime.now(UTC) - take.created_at) < timedelta(minutes=1)
