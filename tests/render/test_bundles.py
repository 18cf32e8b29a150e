import base64
import html.parser
import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from elumenta_nb import _language
from elumenta_nb._preview import Picture
from elumenta_nb._receipt import together
from elumenta_nb._render import EMBED_BYTES, File, Shown, bundle, card, embeds, link, receipt, table
from elumenta_nb._values import Receipt

EVIL = "<script>alert(1)</script>\"onerror=alert(1) x='\x1b[31m"
PICTURE = Picture(b"\xff\xd8\xff fake", "image/jpeg", 1024, 512)
IMAGE = File(name="elumenta_media/a.webp", mime="image/webp", size_bytes=1_200_000, href="elumenta_media/a.webp", width=1792, height=896, picture=PICTURE)  # fmt: skip
VIDEO = replace(IMAGE, name="elumenta_media/a.mp4", href="elumenta_media/a.mp4", mime="video/mp4", duration_s=5.0)
AUDIO = File(name="elumenta_media/a.wav", mime="audio/wav", size_bytes=90_000, href="elumenta_media/a.wav", data=b"RIFF", duration_s=2.0)  # fmt: skip
PAID = Receipt(call_id=1, model="dall-e-3", status="completed", tokens=13, quoted=13, latency_s=4.1)


class Tags(html.parser.HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.seen = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))


def of(file, **facts):
    return bundle(Shown(**{"model": "dall-e-3", "tokens": 13, "files": (file,), **facts}))


def test_a_picture_is_native_and_has_no_html_that_viewers_would_show_instead():
    data, metadata = of(IMAGE)
    assert set(data) == {"text/plain", "image/jpeg"}
    assert base64.b64decode(data["image/jpeg"]) == PICTURE.data
    assert metadata["image/jpeg"] == {"width": 720, "height": 360, "alt": "Picture by dall-e-3, 1792×896"}
    assert data["text/plain"] == "dall-e-3 · WEBP, 1792×896, 1.2 MB · 13 tokens · elumenta_media/a.webp"


def test_a_sound_has_the_name_people_know_its_format_by():
    data, _metadata = of(replace(AUDIO, name="a.mp3", mime="audio/mpeg"))
    assert "MP3, 2.0 s, 90 kB" in data["text/plain"]


def test_a_tall_picture_is_not_taller_than_a_screen():
    metadata = of(replace(IMAGE, picture=replace(PICTURE, width=500, height=4000)))[1]
    assert metadata["image/jpeg"]["height"] == 640


def test_a_video_is_a_link_with_a_poster_and_the_poster_is_native_too():
    data, _metadata = of(VIDEO)
    assert set(data) == {"text/plain", "text/html", "image/jpeg"}
    tags = Tags(data["text/html"]).seen
    video = next(attributes for tag, attributes in tags if tag == "video")
    assert video["src"] == "elumenta_media/a.mp4"
    assert video["poster"].startswith("data:image/jpeg;base64,")
    assert "controls" in video
    assert "source" not in [tag for tag, _attributes in tags]
    assert ("a", {"href": "elumenta_media/a.mp4"}) in tags


def test_short_audio_plays_from_the_notebook_and_long_audio_from_its_file():
    short = Tags(of(AUDIO)[0]["text/html"]).seen
    assert any(tag == "audio" and attributes["src"] == "data:audio/wav;base64,UklGRg==" for tag, attributes in short)
    long = Tags(of(replace(AUDIO, data=None))[0]["text/html"]).seen
    assert any(tag == "audio" and attributes["src"] == "elumenta_media/a.wav" for tag, attributes in long)


def test_a_video_that_cannot_be_linked_or_embedded_still_tells_where_it_is():
    page = of(replace(VIDEO, href="", data=None))[0]["text/html"]
    assert "<video" not in page
    assert "elumenta_media/a.mp4" in page


@pytest.mark.parametrize(
    ("mime", "size", "viewer", "embedded"),
    [
        ("audio/mpeg", 100_000, "links", True),
        ("audio/mpeg", 300_000, "links", False),
        ("video/mp4", 100_000, "links", False),
        ("video/mp4", EMBED_BYTES, "embed", True),
        ("video/mp4", EMBED_BYTES + 1, "embed", False),
        ("text/html", 10, "embed", False),
        ("application/pdf", 10, "embed", False),
    ],
)
def test_what_goes_into_the_notebook_whole(mime, size, viewer, embedded):
    assert embeds(mime, size, viewer) is embedded


@pytest.mark.parametrize(
    "mime",
    [
        "image/svg+xml",
        "text/html",
        "application/xml",
        "application/pdf",
        "application/octet-stream",
        "application/json",
    ],
)
def test_documents_are_never_shown_only_named(mime):
    data, _metadata = of(replace(IMAGE, mime=mime, picture=None))
    assert set(data) == {"text/plain"}
    assert "kept as a file" in data["text/plain"]


def test_a_picture_without_preview_says_so():
    assert "cannot be shown safely" in of(replace(IMAGE, picture=None))[0]["text/plain"]


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("elumenta_media/a.png", "elumenta_media/a.png"),
        ("моё/a b#1%.png", "%D0%BC%D0%BE%D1%91/a%20b%231%25.png"),
        ("a?b.png", "a%3Fb.png"),
        ("javascript:alert(1)/a.png", "javascript%3Aalert%281%29/a.png"),
        ("../media/a.png", "../media/a.png"),
        ('a"b<c>.png', "a%22b%3Cc%3E.png"),
    ],
)
def test_relative_links_are_quoted(path, url):
    assert link(path) == url


@pytest.mark.parametrize("file", [IMAGE, VIDEO, AUDIO, replace(VIDEO, href="", data=None)])
def test_no_fact_of_a_result_becomes_markup(file):
    data, metadata = of(replace(file, name=EVIL, href=link(EVIL)), model=EVIL)
    page = data.get("text/html", "")
    assert "script" not in [tag for tag, _attributes in Tags(page).seen]
    assert not any(name.startswith("on") for _tag, attributes in Tags(page).seen for name in attributes)
    assert "\x1b" not in data["text/plain"]
    json.dumps([data, metadata])


def test_a_text_is_markdown_and_plain_and_never_html():
    data, _metadata = bundle(Shown(model="gpt-5", tokens=2, text=f"**hi** {EVIL}"))
    assert set(data) == {"text/plain", "text/markdown"}
    assert data["text/markdown"].startswith("**hi** &lt;script>")
    assert data["text/plain"].startswith("**hi** <script>")
    assert "\x1b" not in data["text/plain"] + data["text/markdown"]


def test_text_as_text_is_plain_only():
    assert set(bundle(Shown(model="gpt-5", tokens=2, text="**x**", shape="text"))[0]) == {"text/plain"}


def test_json_is_a_tree_and_a_text():
    data, metadata = bundle(Shown(model="gpt-5", tokens=2, text='{"a": 1}', shape="json", value={"a": 1}))
    assert data["application/json"] == {"a": 1}
    assert data["text/plain"] == '{"a": 1}'
    assert metadata["application/json"]["expanded"] is True


def test_json_that_could_not_be_read_is_shown_as_it_came():
    data, _metadata = bundle(Shown(model="gpt-5", tokens=2, text="no {json", shape="json", value="no {json"))
    assert data["text/markdown"] == "```json\nno {json\n```"


def test_code_stands_in_a_fence_it_cannot_leave():
    code = "a = '''\n```\n<script>'''"
    data, _metadata = bundle(
        Shown(model="gpt-5", tokens=2, text=f"Sure\n````python\n{code}\n````", shape="code", value=code)
    )
    assert data["text/markdown"] == f"````python\n{code}\n````"


@pytest.mark.parametrize("shape", ["markdown", "text", "json", "code"])
@pytest.mark.parametrize("text", ["plain", "```\nopen", "<!--", "[x", "$$", "    code"])
def test_everything_of_the_sandbox_says_so_where_no_text_can_hide_it(shape, text):
    data, metadata = bundle(
        Shown(model="gpt-5", tokens=2, text=text, shape=shape, sandbox=True, value=[1] if shape == "json" else None)
    )
    assert data["text/plain"].startswith("SANDBOX · made by the sandbox, not by gpt-5\n\n")
    assert data.get("text/markdown", "**SANDBOX").startswith("**SANDBOX")
    assert "SANDBOX" in metadata.get("application/json", {"root": "SANDBOX"})["root"]


@pytest.mark.parametrize("file", [IMAGE, VIDEO, AUDIO])
def test_media_of_the_sandbox_say_so(file):
    data, metadata = of(file, sandbox=True)
    assert "SANDBOX" in data["text/plain"]
    assert "SANDBOX" in data.get("text/html", "SANDBOX")
    assert all("sandbox" in facts["alt"] for mime, facts in metadata.items() if mime.startswith("image/"))


def test_a_text_cut_short_says_so():
    data, _metadata = bundle(Shown(model="gpt-5", tokens=2, text="half", complete=False))
    assert "incomplete" in data["text/plain"]
    assert "incomplete" in data["text/markdown"]


def test_an_endless_text_is_cut_for_display_only():
    data, _metadata = bundle(Shown(model="gpt-5", tokens=2, text="word " * 400_000))
    assert len(data["text/markdown"]) < 250_000
    assert ".text has all of it" in data["text/plain"]


def test_a_result_without_anything_says_its_status():
    data, _metadata = bundle(Shown(model="gpt-5", tokens=0, status="failed"))
    assert data == {"text/plain": "gpt-5: no result (failed)"}


LINES = {
    "dall-e-3 · 13 tokens · 4.1 s": PAID,
    "dall-e-3 · 13 tokens · 4.1 s · balance 270 · budget 41 of 200 (this notebook)": replace(
        PAID, balance=270, balance_exact=True, budget_used=41, budget_limit=200, budget_name="notebook"
    ),
    "dall-e-3 · 13 tokens · 4.1 s · balance ≈1,270": replace(PAID, balance=1270),
    "dall-e-3 × 4 · 52 tokens · 4.1 s": together([PAID] * 4),
    "gpt-5 × 2 + dall-e-3 · 39 tokens · 4.1 s": together([*[replace(PAID, model="gpt-5")] * 2, PAID]),
    "dall-e-3 · 15 tokens (quoted 13) · 4.1 s": replace(PAID, tokens=15),
    "SANDBOX · dall-e-3 · 1 token · 4.1 s": replace(PAID, tokens=1, quoted=1, sandbox=True),
    "dall-e-3 · restored, 0 tokens (13 paid on 20 Nov) · new one: --fresh": replace(
        PAID, tokens=0, reused=True, paid_before=13, paid_at=datetime(2026, 11, 20, 12, tzinfo=UTC)
    ),
    "dall-e-3 · restored, 0 tokens (13 paid before) · new one: --fresh": replace(PAID, tokens=0, reused=True, paid_before=13),
    "dall-e-3 · restored, 0 tokens (13 paid before)": replace(PAID, tokens=0, reused=True, paid_before=13, anew=""),
    "dall-e-3 · failed, not charged": replace(PAID, status="failed", tokens=0),
    "dall-e-3 · still running, 13 tokens when it completes": replace(PAID, status="pending", tokens=0),
    "dall-e-3 · no answer yet, up to 13 tokens": replace(PAID, status="unknown", tokens=0),
    "dall-e-3 · 13 tokens · 4.1 s · the table's price": replace(PAID, note="the table's price"),
    "dall-e-3 · 13 tokens · 4.1 s · budget 41 of 200 (alice)": replace(PAID, budget_used=41, budget_limit=200, budget_name="alice"),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_a_receipt_is_one_line(line):
    data, _metadata = receipt(LINES[line])
    assert data["text/plain"] == line
    assert "".join(re.split(r"<[^>]*>", data["text/html"])).replace("&#x27;", "'") == line


def test_a_receipt_speaks_russian():
    _language.set_language("ru")
    line = receipt(replace(PAID, balance=1270))[0]["text/plain"]
    assert "1\N{NO-BREAK SPACE}270" in line


def test_a_receipt_can_link_its_files():
    data, _metadata = receipt(PAID, files=[("elumenta_media/a b.webp", link("elumenta_media/a b.webp"))])
    assert '<a href="elumenta_media/a%20b.webp">elumenta_media/a b.webp</a>' in data["text/html"]
    assert data["text/plain"].endswith("elumenta_media/a b.webp")


def test_cards_and_tables_are_escaped_and_have_a_text_twin():
    data, _metadata = card(EVIL, [(EVIL, EVIL), ("balance", "270")], hint=EVIL)
    assert {tag for tag, _attributes in Tags(data["text/html"]).seen} <= {"div", "table", "tr", "td"}
    assert "balance" in data["text/plain"]
    data, _metadata = table(["model", EVIL], [[EVIL, 5], ["gpt-5", 1234], ["x", None]], title=EVIL, hint=EVIL)
    assert {tag for tag, _attributes in Tags(data["text/html"]).seen} <= {
        "div",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    assert "1,234" in data["text/plain"]
    assert "\x1b" not in data["text/plain"]
    assert table(["a"], [])[0]["text/plain"] == "a"


@pytest.mark.parametrize("page", [receipt(PAID)[0], card("x", [("a", "b")])[0], table(["a"], [[1]])[0], of(VIDEO)[0]])
def test_styles_survive_the_sanitizer_of_an_untrusted_notebook(page):
    markup = page["text/html"]
    assert "<style" not in markup
    assert "var(" not in markup
    assert "color:" not in markup
    assert "class=" not in markup


def test_a_transcript_shows_its_speakers_as_turns():
    text = "[Speaker 1]: Hello there. [Speaker 2]: Hi! [Speaker 1]: Bye."
    data, _metadata = bundle(Shown(model="elevenlabs-scribe", tokens=2, text=text))
    assert data["text/plain"].split("\n\n") == ["[Speaker 1]: Hello there.", "[Speaker 2]: Hi!", "[Speaker 1]: Bye."]


def test_a_sandbox_text_that_says_so_itself_gets_no_second_caption():
    text = "**SANDBOX** — made by the sandbox."
    data, _metadata = bundle(Shown(model="gpt-5", tokens=2, text=text, sandbox=True))
    assert data["text/plain"].count("SANDBOX") == 1
