import pytest
from store_making import mp4, picture, png, wav

from elumenta_nb._sniff import HEAD_BYTES, measure, sniff, sniff_file

KINDS = {
    "image/png": png(),
    "image/jpeg": picture("JPEG"),
    "image/webp": picture("WEBP"),
    "image/gif": picture("GIF"),
    "video/mp4": mp4(),
    "video/quicktime": b"\0\0\0\x14ftypqt  \0\0\2\0qt  ",
    "video/webm": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm",
    "video/x-matroska": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska",
    "audio/wav": wav(),
    "audio/flac": b"fLaC\0\0\0\x22",
    "audio/mp4": b"\0\0\0\x1cftypM4A \0\0\2\0",
    "audio/ogg": b"OggS\0\2" + bytes(22) + b"OpusHead",
    "video/ogg": b"OggS\0\2" + bytes(22) + b"\x80theora",
    "audio/aac": b"\xff\xf1\x50\x80\x02\x1f\xfc",
    "image/avif": b"\0\0\0\x1cftypavif\0\0\0\0",
    "image/svg+xml": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "text/html": b"<!doctype html><title>Sign in</title>",
    "application/json": b'{"error": "internal_error"}',
    "application/pdf": b"%PDF-1.7\n",
    "application/zip": b"PK\x03\x04",
    "application/xml": b"<?xml version='1.0'?><root/>",
    "text/plain": "Привет, это не картинка".encode(),
    "application/octet-stream": b"\x00\x01\x02\x03 nothing known",
}


@pytest.mark.parametrize("mime", KINDS)
def test_a_file_is_what_its_bytes_say(mime):
    assert sniff(KINDS[mime]).mime == mime


@pytest.mark.parametrize(
    "head", [b"ID3\x04\0\0\0\0\0\0", b"\xff\xfb\x90\x64\0\0", b"\xff\xf3\x84\xc4\0\0", b"\xff\xfa\x90\0"]
)
def test_mp3_is_known_with_and_without_a_tag(head):
    assert sniff(head).mime == "audio/mpeg"


@pytest.mark.parametrize(
    "data",
    [
        b"<?xml version='1.0'?>\n<!-- a --><svg onload='alert(1)'/>",
        b"\xef\xbb\xbf<svg>",
        b"  \n <SVG viewBox='0 0 1 1'>",
        "<svg>".encode("utf-16"),
        b"<ns:svg xmlns:ns='http://www.w3.org/2000/svg'>",
        b"<!DOCTYPE svg><svg/>",
        b"<html><svg>",
        b"<script>alert(1)</script>",
        b"<!-- x --><body onload=alert(1)>",
        b"<p>x",
        b"<?xml version='1.0'?><html/>",
    ],
)
def test_markup_is_never_of_a_family_that_is_shown(data):
    kind = sniff(data)
    assert kind.family == "other"
    assert kind.ext.endswith(".txt")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xff\xff\xff",
        b"RIFF",
        b"RIFF\0\0\0\0ABCD",
        b"\0\0\0\x14ftyp",
        b"{",
        b"[" * 100_000,
        b"\xfe\xff\xd8",
        bytes(range(256)),
    ],
)
def test_odd_bytes_are_some_type_and_no_error(data):
    assert sniff(data[:HEAD_BYTES]).family in ("other", "text", "video")


def test_a_character_cut_at_the_end_of_the_head_is_still_text():
    assert sniff(("я" * HEAD_BYTES).encode()[: HEAD_BYTES - 1]).mime == "text/plain"


def test_size_and_length_come_from_the_container(tmp_path):
    clip = tmp_path / "clip"
    clip.write_bytes(mp4(seconds=5, width=1280, height=720))
    facts = measure(clip, sniff_file(clip))
    assert (facts.width, facts.height, facts.duration_s) == (1280, 720, 5.0)
    clip.write_bytes(wav(0.5))
    assert measure(clip, sniff_file(clip)).duration_s == 0.5


@pytest.mark.parametrize("cut", range(0, len(mp4()), 7))
def test_a_container_cut_anywhere_gives_no_figures_and_no_error(tmp_path, cut):
    clip = tmp_path / "clip"
    clip.write_bytes(mp4()[:cut])
    facts = measure(clip, sniff(mp4()))
    assert facts.duration_s in (None, 5.0)


def test_boxes_that_lie_about_their_length_end_the_search(tmp_path):
    clip = tmp_path / "clip"
    for lie in (b"\0\0\0\0", b"\0\0\0\1", b"\0\0\0\7", b"\xff\xff\xff\xff"):
        clip.write_bytes(mp4()[:24] + lie + b"moov" + bytes(64))
        assert measure(clip, sniff(mp4())).duration_s is None
