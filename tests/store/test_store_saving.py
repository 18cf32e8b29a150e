"""`--save`: found out before paying, never over a file that is not an earlier copy."""

import io
import os

import pytest
from PIL import Image
from store_making import buy, call, noise, picture, png, store_at

from elumenta_nb._errors import BadParam
from elumenta_nb._result import Result


def result(store, **given) -> Result:
    return Result.from_take(buy(store, call(), **(given or {"data": png()})), base=store.base)


def test_a_target_that_can_be_written_passes_and_is_not_made(tmp_path):
    store = store_at(tmp_path)
    for target in ("a.png", tmp_path / "b.png", tmp_path / "new" / "folder" / "c.png", f"{tmp_path}/new/"):
        store.check(target)
    assert {path.name for path in tmp_path.iterdir()} == {"elumenta_media"}


@pytest.mark.parametrize("target", ["", "  ", "a\0b", "/dev/null", "/proc/x.png", "~nobody-of-that-name/x.png"])
def test_a_target_that_cannot_be_written_is_refused_before_paying(tmp_path, target):
    with pytest.raises(BadParam) as caught:
        store_at(tmp_path).check(target)
    assert caught.value.spent == "no"
    assert caught.value.hint


def test_a_file_where_a_folder_should_be_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadParam, match="not a folder"):
        store_at(tmp_path).check(tmp_path / "file" / "a.png")


def test_a_name_too_long_for_the_disk_is_refused_before_paying(tmp_path):
    with pytest.raises(BadParam):
        store_at(tmp_path).check(tmp_path / ("x" * 300))


def test_a_file_of_the_user_is_never_written_over(tmp_path):
    thesis = tmp_path / "thesis.png"
    thesis.write_bytes(b"years of work")
    store = store_at(tmp_path)
    with pytest.raises(BadParam):
        store.check(thesis)
    with pytest.raises(BadParam):
        result(store).save(thesis)
    assert thesis.read_bytes() == b"years of work"


def test_an_earlier_copy_may_be_written_over_also_by_another_kernel_until_it_is_changed(tmp_path):
    target = tmp_path / "cat.png"
    result(store_at(tmp_path)).save(target)
    store = store_at(tmp_path)
    store.check(target)
    result(store, data=png(20)).save(target)
    assert target.read_bytes() == png(20)
    target.write_bytes(png(20) + b"edited")
    with pytest.raises(BadParam, match="changed since"):
        store_at(tmp_path).check(target)


def test_a_link_is_not_written_through(tmp_path):
    (tmp_path / "thesis").write_bytes(b"years of work")
    (tmp_path / "cat.png").symlink_to(tmp_path / "thesis")
    with pytest.raises(BadParam):
        result(store_at(tmp_path)).save(tmp_path / "cat.png")
    assert (tmp_path / "thesis").read_bytes() == b"years of work"


def test_folders_and_missing_extensions_are_completed(tmp_path):
    one = result(store_at(tmp_path))
    (tmp_path / "out").mkdir()
    assert one.save(tmp_path / "out") == tmp_path / "out" / one.path.name
    assert one.save(f"{tmp_path}/new/").parent == tmp_path / "new"
    assert one.save(tmp_path / "cat") == tmp_path / "cat.png"
    assert one.save(tmp_path / "deep" / "er" / "cat.png").read_bytes() == png()


def test_a_relative_target_lies_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert result(store_at(tmp_path)).save("кот 1.png") == tmp_path / "кот 1.png"


def test_a_picture_takes_the_format_of_its_name(tmp_path):
    one = result(store_at(tmp_path), data=picture("WEBP"))
    for name, kind in (("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP")):
        with Image.open(io.BytesIO(one.save(tmp_path / name).read_bytes())) as saved:
            assert (saved.format, saved.size) == (kind, (64, 48))
    assert (tmp_path / "a.webp").read_bytes() == picture("WEBP")
    store_at(tmp_path).check(tmp_path / "a.png")


def test_a_text_is_saved_as_utf_8(tmp_path):
    store = store_at(tmp_path)
    take = buy(store, call("x", category="text", model="gpt-5"), text="привет")
    saved = Result.from_take(take).save(tmp_path / "answer.md")
    assert saved.read_text(encoding="utf-8") == "привет"
    assert Result.from_take(take).save(f"{tmp_path}/out/").suffix == ".txt"


def test_a_full_copy_or_none(tmp_path):
    one = result(store_at(tmp_path), data=noise(200, 200))
    one.path.unlink()
    with pytest.raises(BadParam):
        one.save(tmp_path / "copy.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elumenta_media"]


def test_checking_twice_leaves_no_trace(tmp_path):
    store = store_at(tmp_path)
    store.check(tmp_path / "a.png")
    store.check(tmp_path / "a.png")
    assert os.listdir(store.folder) == []
