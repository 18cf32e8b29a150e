"""The files: what was asked for, readable by others, the same again from the same seed, and saying SANDBOX."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from elumenta_nb.sandbox.makers import films, sounds


@pytest.fixture
def dialect():
    return "a"  # the families tell of the same files


@pytest.fixture
def get(caller):
    def get(model, prompt="a boat at sea", **params):
        done = caller.generate(model, prompt, **params)
        assert done["status"] == "completed", done
        url = caller.field(done, "result_url")
        return url, caller.file(url)

    return get


@pytest.mark.parametrize(("form", "mime"), [("webp", "image/webp"), ("png", "image/png"), ("jpeg", "image/jpeg")])
def test_a_picture_has_the_asked_size_and_format(get, form, mime):
    url, file = get("recraft-v3", size="160x96", format=form)
    image = Image.open(io.BytesIO(file.content))

    assert image.size == (160, 96)
    assert image.format.lower() == form
    assert file.headers["content-type"] == mime
    assert url.endswith(f".{form}")


def test_the_same_seed_draws_the_same_and_another_does_not(get):
    same = [get("recraft-v3", "a boat", size="96x96", seed=5)[1].content for _ in range(2)]
    other = get("recraft-v3", "a boat", size="96x96", seed=6)[1].content

    assert same[0] == same[1] != other


def test_without_a_seed_each_of_a_kind_is_another_picture_and_the_same_ones_come_in_a_new_account(get, server):
    def three():
        return [get("recraft-v3", "a boat", size="96x96")[1].content for _ in range(3)]

    first = three()
    server.control("reset")

    assert len(set(first)) == 3
    assert three() == first


def test_a_count_asked_for_at_once_is_as_many_pictures(caller):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _n: caller.generate("recraft-v3", "a boat", size="96x96"), range(4)))
    files = [caller.file(caller.field(done, "result_url")).content for done in made]

    assert len(set(files)) == 4


def test_another_format_is_the_same_picture(get):
    png, jpeg = (
        Image.open(io.BytesIO(get("recraft-v3", size="96x96", format=form)[1].content)) for form in ("png", "jpeg")
    )
    apart = ImageChops.difference(png.convert("L"), jpeg.convert("L"))

    assert ImageStat.Stat(apart).mean[0] < 5


def test_a_picture_of_4k_is_one(get):
    _, file = get("nano-banana-pro", resolution="4K", aspect_ratio="16:9", format="jpeg")
    width, height = Image.open(io.BytesIO(file.content)).size

    assert width * 9 == height * 16
    assert width > 4000


@pytest.mark.parametrize(("ratio", "size"), [("16:9", (960, 540)), ("9:16", (540, 960)), ("1:1", (540, 540))])
def test_a_film_is_h264_of_the_asked_length_and_ratio(get, ratio, size):
    _, file = get("kling-v2.1", aspect_ratio=ratio, duration=5)
    with av.open(io.BytesIO(file.content)) as film:
        stream = film.streams.video[0]

        assert file.headers["content-type"] == "video/mp4"
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.width, stream.height) == size
        assert film.duration / 1_000_000 == pytest.approx(5, abs=0.2)
        assert stream.average_rate == 8
        assert film.metadata["title"] == "SANDBOX: made by the sandbox, not by kling-v2.1"
        assert not film.streams.audio
        frames = [frame.to_ndarray(format="gray") for frame in film.decode(video=0)]
    assert len(frames) == 40
    assert (frames[0] != frames[-1]).mean() > 0.01  # it moves
    assert file.content.index(b"moov") < file.content.index(b"mdat")  # a player can begin before it has all


def test_the_label_of_a_film_is_at_its_top_where_no_controls_of_a_player_lie():
    plain = Image.new("RGB", (960, 540), (90, 90, 90))
    facts = ("A harbour at dawn, boats and gulls", "kling-v2.1", 7, plain.size)
    with av.open(io.BytesIO(films.film(*facts, 0.2, base=plain))) as film:
        frame = next(film.decode(video=0)).to_image()
    thumbnail = Image.open(io.BytesIO(films.still(*facts, base=plain)))

    for picture in (frame, thumbnail):
        upper, lower = picture.crop((0, 0, 960, 200)), picture.crop((0, 200, 960, 540))
        assert upper.convert("L").getextrema()[1] > 220  # white letters
        assert lower.convert("L").getextrema()[1] < 110


def test_a_film_may_have_sound(get):
    _, file = get("veo-3.1", audio=True, duration=4)
    with av.open(io.BytesIO(file.content)) as film:
        assert film.streams.audio[0].codec_context.name == "aac"
        assert film.streams.audio[0].duration


def test_a_film_has_a_thumbnail_and_parts_for_a_player(get, caller):
    done = caller.generate("luma-ray2-flash", resolution="540p")
    thumbnail = caller.file(done["thumbnail_url"])
    url = caller.field(done, "result_url")
    whole = caller.file(url).content
    part = caller.file(url, headers={"Range": "bytes=10-19"})

    assert Image.open(io.BytesIO(thumbnail.content)).format == "JPEG"
    assert part.status_code == 206
    assert part.content == whole[10:20]
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole)}"
    assert caller.file(url, headers={"Range": "bytes=-5"}).content == whole[-5:]
    assert caller.file(url, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416


@pytest.mark.parametrize(("form", "codec"), [("mp3", "mp3"), ("wav", "pcm_s16le"), ("ogg", "opus")])
def test_speech_has_the_asked_format_and_the_length_of_its_text(get, form, codec):
    _, file = get("openai-tts", "It takes about as long to say as this sentence would take a person.", format=form)
    facts = sounds.facts(file.content)

    assert codec in facts["codec"]
    assert facts["duration_s"] == pytest.approx(67 / 15, abs=0.1)
    assert facts["title"].startswith("SANDBOX")


def test_faster_speech_is_shorter(get):
    slow, fast = (
        sounds.facts(get("openai-tts", "some words to say aloud, and a few more of them", speed=speed)[1].content)
        for speed in (0.5, 2)
    )

    assert slow["duration_s"] == pytest.approx(4 * fast["duration_s"], abs=0.2)


def test_music_is_as_long_as_asked_and_audible(get):
    _, file = get("musicgen", "calm piano", duration=15)
    sound = sounds.decoded(file.content)

    assert len(sound) / sounds.RATE == pytest.approx(15, abs=0.1)
    assert 0.02 < float((sound**2).mean()) ** 0.5 < 0.4
    assert float(abs(sound).max()) < 0.95


@pytest.mark.parametrize("tool", ["face-swap", "remove-bg", "style-transfer", "colorize", "inpaint"])
def test_an_image_tool_transforms_its_input(get, tool):
    source, before = get("recraft-v3", "the moon over a lake", size="192x128", format="png")
    _, after = get(tool, "a green forest", image_url=source, face_url=source, format="png")
    old, new = (Image.open(io.BytesIO(file.content)) for file in (before, after))

    assert new.size == old.size
    changed = sum(a != b for a, b in zip(old.convert("L").tobytes(), new.convert("L").tobytes(), strict=True))
    opaque = new.convert("RGBA").getchannel("A").getextrema()
    assert changed > 1000 or opaque[0] < 255
    assert (opaque[0] == 0) == (tool == "remove-bg")


@pytest.mark.parametrize("scale", [2, 4])
def test_upscale_enlarges(get, scale):
    source, _ = get("recraft-v3", size="96x64", format="png")
    _, after = get("upscale", image_url=source, scale=scale, format="png")

    assert Image.open(io.BytesIO(after.content)).size == (96 * scale, 64 * scale)


def test_inpaint_changes_only_where_the_mask_is_white(get):
    source, before = get("recraft-v3", "the moon", size="128x128", format="png")
    mask, _ = get("remove-bg", "", image_url=source, format="jpeg")
    _, after = get("inpaint", "a green forest", image_url=source, mask_url=mask, format="png")

    assert Image.open(io.BytesIO(after.content)).size == (128, 128)
    assert after.content != before.content


def test_text_ocr_states_facts_about_the_picture(get, caller):
    source, _ = get("recraft-v3", "WORDS ON A SIGN", size="128x96")
    done = caller.generate("text-ocr", image_url=source)
    text = caller.field(done, "result_text")

    assert "128 by 96" in text
    assert "WORDS ON A SIGN" in text
    assert text.startswith("SANDBOX")


def test_a_picture_elsewhere_is_never_fetched_but_stood_in_for(get):
    _, file = get("upscale", image_url="https://example.com/cat.png", format="png")

    assert Image.open(io.BytesIO(file.content)).size == (2048, 2048)


@pytest.mark.parametrize("tool", ["el-voice-changer", "el-voice-isolator", "el-dubbing"])
def test_an_audio_tool_keeps_the_length_of_its_input(get, tool):
    source, before = get("openai-tts", "words that are said and said again for a while")
    _, after = get(tool, "", audio_url=source)
    old, new = (sounds.facts(file.content)["duration_s"] for file in (before, after))

    assert new == pytest.approx(old, abs=0.1)
    assert after.content != before.content


def test_a_picture_is_no_recording(caller, get):
    picture, _ = get("recraft-v3", size="64x64")
    reply = caller.post("/generate", {"model": "el-voice-changer", "audio_url": picture})

    assert reply.status_code == 400
    assert "needs audio" in reply.json()["message"]


def test_a_picture_and_a_film_may_begin_from_a_picture(get):
    source, _ = get("recraft-v3", "the moon", size="128x96", format="png")
    plain = get("flux-kontext-pro", "in winter", size="128x96", seed=1)[1].content
    from_it = get("flux-kontext-pro", "in winter", size="128x96", seed=1, image_url=source)[1].content
    film = get("luma-ray2-flash", "slowly nearer", resolution="540p", image_url=source)[1].content

    assert plain != from_it
    assert film[4:8] == b"ftyp"


def test_transcription_tells_facts_and_the_words_the_sandbox_spoke(get, caller):
    _, spoken = get("openai-tts", "Good morning to you")
    done = caller.http.post(
        "/stt",
        files={"audio": ("morning.mp3", spoken.content)},
        data={"model": "elevenlabs-scribe", "diarize": "true", "language": "en"},
    ).json()
    text = caller.field(done, "result_text")

    assert text.startswith("[Speaker 1]: SANDBOX")
    assert "[Speaker 2]: " in text
    assert "morning.mp3" in text
    assert "Good morning to you" in text
    assert caller.field(done, "tokens_spent") == 2


@pytest.mark.parametrize(
    ("files", "data", "code"),
    [
        ({}, {"model": "whisper"}, 422),
        ({"audio": ("notes.txt", b"words")}, {"model": "whisper"}, 400),
        ({"audio": ("long.mp3", bytes(26_214_401))}, {"model": "whisper"}, 400),
        ({"audio": ("a.mp3", b"x")}, {"model": "gpt-5"}, 404),
    ],
)
def test_an_upload_outside_its_limits_is_refused(caller, server, files, data, code):
    assert caller.http.post("/stt", files=files, data=data).status_code == code
    assert server.account.balance == 1500


def test_the_default_transcription_model_is_whisper(caller):
    done = caller.http.post("/stt", files={"audio": ("a.wav", b"not a recording")}).json()

    assert caller.field(done, "model_slug") == "whisper"
    assert "no sound the sandbox can read" in caller.field(done, "result_text")


@pytest.mark.parametrize("name", ["1.webp", "x.webp", "..%2Fsandbox.sqlite", "18473"])
def test_a_file_that_does_not_exist_is_404(server, caller, name):
    assert caller.file(f"{server.origin}/storage/generations/{name}").status_code == 404
