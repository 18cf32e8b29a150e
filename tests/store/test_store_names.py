import re

import pytest
from store_making import buy, call, png, store_at

from elumenta_nb._draft import stem
from elumenta_nb._sidecar import is_safe_name

LABELS = [
    "../../etc/passwd", "/etc/passwd", "C:\\Windows\\system32", "..", ".", ".hidden", "CON", "nul", "com1", "LPT9.txt", "a" * 300,
    "кот", "кот-1", "名前", "a\0b", "a\nb", "a/b", "a:b", "a*b?", "<script>", "$(rm -rf ~)", "`x`", "-rf", "--", " ", "", "é", "Ångström",
    "a b", "a%2e%2e", "~root", "|", "x" * 1000 + ".png", "🐱", "\u202etxt.exe", "trailing.", "trailing ", "a..b", "%00", "'", '"',
]  # fmt: skip


@pytest.mark.parametrize("label", LABELS)
def test_a_name_is_short_ascii_and_inside_its_folder_whatever_the_label(label):
    name = stem(label, "image", "dall-e-3", "0123456789") + ".webp"
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}\.webp", name)
    assert is_safe_name(name)


@pytest.mark.parametrize("model", ["../x", "a/b", "", "модель", "x" * 500, "gpt-5/../../y", ".."])
def test_a_slug_from_a_server_cannot_leave_the_folder_either(model):
    assert is_safe_name(stem("", "image", model, "0123456789") + ".png")


def test_a_label_in_cyrillic_gives_way_to_the_category():
    assert stem("кот", "image", "dall-e-3", "0123456789") == "image-dall-e-3-0123456789"
    assert stem("Café 1", "image", "dall-e-3", "0123456789") == "Cafe-1-dall-e-3-0123456789"


def test_no_word_of_the_prompt_and_no_name_of_the_server_is_in_a_file_name(tmp_path):
    store = store_at(tmp_path)
    buy(store, call("secret launch plan"), data=png(), url="https://cdn.example/evil-name.png?sig=1")
    names = " ".join(path.name for path in store.folder.iterdir())
    assert not re.search("secret|launch|plan|evil|sig", names)


@pytest.mark.parametrize(
    "name",
    [
        "../a.png", "a/b.png", "/a.png", "..", ".", "", ".a.png", "a\\b.png", "a\0.png", "a\n.png", "con", "CON.png", "nul.webp", "lpt1.json",
        "a" * 300, "я.png", "a b.png", "~a", "C:a.png", "a:b", "a.png.", "-a.png", None, 1, [], {}, True, "a%2fb", "a*", "com0.x", "\ufefa.png", "a\u202e.png",
    ],
)  # fmt: skip
def test_names_that_could_mean_another_place_are_refused(name):
    assert not is_safe_name(name)
