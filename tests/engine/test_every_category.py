"""Eight categories from a cell, a panel and Python, in both dialects; every slug of the page at its documented price."""

from __future__ import annotations

import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from worlds import until

import elumenta_nb as el
from elumenta_nb._catalog import catalog
from elumenta_nb._magics import ElumentaMagics
from elumenta_nb._panels import Panel
from elumenta_nb._values import Ask, Origin

pytestmark = pytest.mark.slow  # a minute of real HTTP: `make test`, not `make test-quick`

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {  # category: model, prompt, options
    "text": ("gpt-5", "why is the sea salt", {"system": "brief", "temperature": 0.2}),
    "image": ("dall-e-3", "a lighthouse", {"size": "1024x1024", "format": "png"}),
    "video": ("luma-ray2-flash", "a wave", {"duration": 5, "aspect_ratio": "9:16"}),
    "music": ("musicgen", "calm piano", {"duration": 15}),
    "tts": ("openai-tts", "good morning", {"voice": "nova", "format": "wav"}),
    "stt": ("elevenlabs-scribe", "", {"diarize": True, "language": "en"}),
    "audio-tools": ("el-voice-isolator", "", {}),
    "image-tools": ("upscale", "", {"scale": 2}),
}
MIMES = {
    "image": "image/",
    "video": "video/",
    "music": "audio/",
    "tts": "audio/",
    "audio-tools": "audio/",
    "image-tools": "image/",
}
INPUTS = {"stt": "clip", "audio-tools": "speech", "image-tools": "picture"}  # a variable that holds it


class Shell(InteractiveShell):
    def showtraceback(self, *_args: Any, **_kwargs: Any) -> None:
        pass


@pytest.fixture
def shell(world) -> Iterator[Shell]:
    InteractiveShell.clear_instance()
    config = Config()
    config.HistoryManager.enabled = False
    hook = sys.displayhook
    shell = Shell(config=config)
    magics = ElumentaMagics(shell, session=lambda: world.session)
    magics.attach()
    yield shell
    magics.detach()
    sys.displayhook = hook
    InteractiveShell.clear_instance()


@pytest.fixture
def inputs(world, tmp_path: Path) -> dict[str, Any]:
    """What tools and transcription work on: a file of ours, and results of earlier calls."""
    clip = tmp_path / "clip.wav"
    with wave.open(str(clip), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\0" * 4000)
    return {
        "clip": str(clip),
        "speech": world.buy("minimax-tts", "one two")[0],
        "picture": world.buy("photon-flash", "a cat")[0],
    }


def by_magic(_world: Any, shell: Any, category: str) -> tuple[Any, str]:
    model, prompt, options = CASES[category]
    words = [
        f"--{name.replace('_', '-')} {value}" if value is not True else f"--{name}" for name, value in options.items()
    ]
    words += [f"--input {INPUTS[category]}"] if category in INPUTS else []
    ran = shell.run_cell(f"%%elumenta {category} {model} {' '.join(words)} -o made\n{prompt}")
    ran.raise_error()
    assert ran.result is shell.user_ns["made"]
    return ran.result, ""


def by_panel(world: Any, shell: Any, category: str) -> tuple[Any, str]:
    """Chosen in its controls, bought by its button for the price it shows."""
    model, prompt, options = CASES[category]
    panel = Panel(lambda: world.session, None, category=category, model=model, namespace=shell.user_ns)
    assert panel.served.wait(20)
    for control in panel.form.controls.values():
        for name in (control.param.name, *control.param.flags):
            if name.replace("-", "_") in options:
                control.widget.value = options[name.replace("-", "_")]
        if control.param.is_input and control.param.required:
            control.widget.value = INPUTS[category]
    panel.form.prompt.value = prompt
    price = until(lambda: panel.line.price is not None and panel.line.price.exact and panel.line.price)
    panel.generate.click()
    until(lambda: not panel.purchase.is_busy)
    (result,) = panel.results
    assert result.tokens == price.high
    assert "Done" in panel.status.value
    return result, panel.source


def by_python(world: Any, shell: Any, category: str) -> tuple[Any, str]:
    model, prompt, options = CASES[category]
    given = shell.user_ns.get(INPUTS.get(category, ""))
    ask = Ask(model=model, category=category, prompt=prompt or None, options=options, input=given)
    (result,) = world.session.run(ask, Origin())
    return result, ""


SURFACES = {"magic": by_magic, "panel": by_panel, "python": by_python}


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("category", CASES)
def test_every_category_works_on_every_surface(world, shell, inputs, category, surface):
    """T1: 8 x 3 = 24 of 24."""
    shell.user_ns.update(inputs)
    model = CASES[category][0]
    before = world.charged

    result, cell = SURFACES[surface](world, shell, category)

    row = catalog().models[model]
    assert result.category == category
    assert row.minimum <= result.tokens <= row.maximum
    assert result.tokens == world.charged - before
    assert world.booked == world.charged
    if category in MIMES:
        assert result.mime.startswith(MIMES[category])
        assert result.path.stat().st_size > 100
    else:
        assert "SANDBOX" in result.text
    data, _metadata = result._repr_mimebundle_()
    assert data["text/plain"]
    rows = world.session.spend().set_index("id")
    assert rows.loc[result.id, "source"] == surface

    if cell:  # the same as a cell finds the file paid; a panel's text is in the ledger, not in the store
        again = shell.run_cell(cell)
        again.raise_error()
        assert (again.result.text, again.result.path) == (result.text, result.path)
        assert again.result.reused == bool(result.path)


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["a"], indirect=True)  # both are covered by kinds; this is about prices
@pytest.mark.parametrize("slug", catalog().models)
def test_every_slug_of_the_page_is_quoted_and_charged_within_its_range(world, inputs, dialect, slug):
    model = catalog().models[slug]
    resolved = catalog().resolve(None, slug, {})
    given = {
        param.name: inputs["clip" if param.type == "upload" else "picture"] for param in resolved.own if param.required
    }
    given |= {"audio_url": inputs["speech"]} if "audio_url" in given else {}
    prompt = None if resolved.prompt == "none" else "a quiet harbour"
    options = {**given, **({"duration": 5} if slug == "luma-ray2-flash" else {})}
    before = world.charged

    (result,) = world.session.run(Ask(model=slug, prompt=prompt, options=options, max_price=400), Origin())

    assert model.minimum <= result.tokens <= model.maximum
    assert result.tokens == result.quoted == world.charged - before


def test_a_chat_keeps_its_turns_and_a_cell_run_again_replaces_its_own(world):
    def turn(cell: str, prompt: str, **more: Any) -> Any:
        origin = Origin(source="magic", cell_id=cell, source_hash=cell, run=f"{cell}{prompt}{more}")
        return world.buy("gpt-5", prompt, chat="tutor", origin=origin, **more)[0]

    turn("c1", "my name is Ada")
    turn("c2", "what is my name?")
    sent = [seen.json for seen in world.server.seen if seen.json and "price" not in seen.path]
    assert str(sent[-1]).count("what is my name?") == 1, "the current turn is never sent twice"
    assert "my name is Ada" in str(sent[-1])

    turn("c1", "my name is Bob")
    turns = world.session.chats["tutor"].turns
    assert [message.content for message in turns if message.role == "user"] == ["my name is Bob", "what is my name?"]


@pytest.mark.parametrize(("shape", "check"), [("json", dict), ("code", str), ("text", str)])
def test_an_answer_is_read_as_asked(world, shape, check):
    (result,) = world.buy("gpt-5", "three colours as a JSON object", shape=shape)

    assert isinstance(result.value, check)
    assert result.tokens == 2


def test_json_that_is_none_is_an_error_that_keeps_the_text(world, monkeypatch):
    monkeypatch.setattr("elumenta_nb._buying.asked_for", lambda params, _resolved, _shape: params)

    with pytest.raises(el.BadReply, match="not JSON") as caught:
        world.buy("gpt-5", "tell me a story", shape="json")

    assert caught.value.spent == "yes"
    assert caught.value.tokens == world.charged == 2
    assert caught.value.results[0].text


def test_saving_where_it_cannot_be_saved_is_found_before_paying(world, tmp_path):
    theirs = tmp_path / "thesis.txt"
    theirs.write_text("mine")
    blocked = tmp_path / "file"
    blocked.write_text("")

    for target in (theirs, blocked / "below.txt"):
        with pytest.raises(el.BadParam):
            world.buy("gpt-5", save=str(target))

    assert world.charged == 0
    assert theirs.read_text() == "mine"
    world.buy("gpt-5", "one", save=str(tmp_path / "ours.txt"))
    world.buy("gpt-5", "two", save=str(tmp_path / "ours.txt"))
    assert "two" in (tmp_path / "ours.txt").read_text()
