"""Completion of the line, from the table."""

import pytest
from IPython.core.completer import CompletionContext

from elumenta_nb._completion import complete


def texts(line, **more):
    return [text for text, _kind in complete(line, **more)[1]]


def test_a_first_word_is_a_category_a_verb_or_a_model():
    assert "text" in texts("te")
    assert {"spend", "sandbox"} <= set(texts("s"))
    assert "dall-e-3" in texts("dall")


def test_a_model_comes_with_its_price():
    assert ("dall-e-3", "5–13 tokens") in complete("image dall")[1]


def test_only_the_category_s_models_follow_it():
    assert texts("video so") == ["sora-2"]
    assert texts("text so") == []


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("image dall-e-3 --qu", {"--quality", "--quiet", "--quote"}),
        ("image dall-e-3 --quality ", {"standard", "hd"}),
        ("image dall-e-3 --quality=h", {"--quality=hd"}),
        ("dall-e-3 --size 1024x1024 --quality s", {"standard"}),
        ("text gpt-5 --as j", {"json"}),
        ("tts openai-tts --voice a", {"alloy"}),
        ("text --reuse m", {"media"}),
        ("stt elevenlabs-scribe --diarize --f", {"--file", "--fresh"}),
        ("price sora", {"sora-2"}),
        ("price sora-2 --d", {"--duration"}),
        ("sandbox t", {"topup"}),
        ("budget --per n", {"notebook"}),
        ("models --category vi", {"video"}),
        ("help tok", {"tokens"}),
        ("image -", {"--size", "--out"}),
    ],
)
def test_options_and_values_follow(line, some):
    assert some <= set(texts(line))


def test_an_option_of_another_model_is_not_offered():
    assert "--quality" not in texts("image flux-1.1-pro --qu")


def test_chats_are_those_of_the_session():
    assert texts("text --chat pl", chats=lambda: ["plan", "code"]) == ["plan"]


def test_a_verb_is_followed_by_what_it_takes():
    assert texts("chat ", chats=lambda: ["story", "plan"]) == ["story", "plan"]
    assert texts("chat story ", chats=lambda: ["story"]) == []
    assert texts("panel im") == ["image", "image-tools"]
    assert texts("panel image ") == []


def test_nothing_follows_a_complete_call():
    assert texts("image dall-e-3 some") == []


@pytest.mark.parametrize(
    ("text", "line", "count"),
    [
        ("%elumenta bal", 0, 1),
        ("%%elumenta im", 0, 2),
        ("x = %elumenta bal", 0, 1),
        ("print(1)\n%elumenta bal", 1, 1),
        ("%%elumenta text\n%elumenta bal", 1, 1),
        ("print('elumenta ", 0, 0),
        ("elumenta bal", 0, 0),
    ],
)
def test_the_shell_asks_and_is_answered(shell, text, line, count):
    matcher = shell.Completer.custom_matchers[-1]
    context = CompletionContext(
        token="", full_text=text, cursor_position=len(text.split("\n")[line]), cursor_line=line, limit=None
    )

    assert len(matcher(context)["completions"]) == count
