"""What a cell asks for, what it returns, and what it shows."""

import pytest

from elumenta_nb import _values as v
from elumenta_nb._errors import BadParam, GenerationFailed, UnknownModel


def test_the_body_is_the_prompt_and_the_line_the_options(run, session):
    run("%%elumenta image dall-e-3 --size 1792x1024 --quality hd --max 20\na lighthouse\n")

    ask, origin = session.asked[0]
    assert (ask.model, ask.prompt, ask.max_price) == ("dall-e-3", "a lighthouse", 20)
    assert dict(ask.options) == {"size": "1792x1024", "quality": "hd"}
    assert origin.source == "magic"


def test_a_model_alone_is_enough(run, session):
    run("%%elumenta dall-e-3\na lighthouse\n")

    assert session.asked[0][0].model == "dall-e-3"


def test_without_a_model_the_receipt_says_it_was_chosen(run, session, shown):
    run("%%elumenta text\nhello\n")

    assert session.asked[0][0].category == "text"
    assert shown.texts == ["gpt-5-nano · 13 tokens · 4.1 s · the cheapest of text"]


def test_the_value_is_the_result_and_it_is_bound(run, shell):
    value = run("%%elumenta text gpt-5 -o answer\nhello\n")

    assert value.text == "an answer"
    assert shell.user_ns["answer"] is value


def test_one_receipt_comes_after_the_value(run, shown):
    run("%%elumenta text gpt-5\nhello\n")

    assert [item["kind"] for item in shown] == ["display"]
    assert shown.texts[0].startswith("gpt-5 · 13 tokens")


def test_an_assigned_line_shows_its_receipt_too(run, shell, shown):
    run('x = %elumenta text gpt-5 "say hello"')

    assert shell.user_ns["x"].text == "an answer"
    assert len(shown.texts) == 1


def test_quiet_shows_nothing_and_binds(run, shell, shown):
    assert run("%%elumenta text gpt-5 --quiet -o x\nhello\n") is None
    assert run('%elumenta text gpt-5 "hello" --quiet') is None
    run('y = %elumenta text gpt-5 "hello" --quiet')

    assert shell.user_ns["x"].text == shell.user_ns["y"].text == "an answer"
    assert shown == []


def test_quote_sends_nothing(run, session):
    value = run("%%elumenta image dall-e-3 --quote --count 2\na lighthouse\n")

    assert session.asked == []
    assert "26 tokens" in str(value)


def test_several_results_are_shown_and_returned(run, shown):
    value = run("%%elumenta text gpt-5 --count 3\nhello\n")

    assert len(value) == 3
    assert shown.texts[-1].startswith("gpt-5 × 3 · 39 tokens")
    assert len(shown.texts) == 4


def test_what_succeeded_of_several_is_bound_before_the_error(shell, session, refused):
    from elumenta_nb._result import Result

    error = GenerationFailed("3 of 4 done, 39 tokens spent.", spent="yes", tokens=39)
    error.results = [Result(id=1, model="gpt-5", category="text", text="one", tokens=13)]
    session.error = error

    assert refused("%%elumenta text gpt-5 --count 4 -o some\nhello\n") is error
    assert [result.text for result in shell.user_ns["some"]] == ["one"]


@pytest.mark.parametrize(
    "cell", ["%%elumenta stt whisper --file x.mp3", "%%elumenta remove-bg --image https://example.org/u\n\n"]
)
def test_a_cell_with_an_empty_body_reaches_us(run, session, cell):
    run(cell)  # IPython itself refuses it with a UsageError

    assert session.asked[0][0].prompt is None


@pytest.mark.parametrize("cell", ["%%elumenta tts -h", "%%elumenta -h\n", "%elumenta spend --help"])
def test_help_needs_no_body_and_sends_nothing(run, session, cell):
    page = run(cell)

    assert "--help, -h" in str(page)
    assert "text/markdown" in page._repr_mimebundle_()
    assert session.asked == []


def test_other_magics_keep_their_empty_body_error(run):
    from IPython.core.error import UsageError

    with pytest.raises(UsageError):
        run("%%elumentary")


def test_a_prompt_on_the_line_of_a_cell_is_refused(refused):
    error = refused('%%elumenta text gpt-5 "hello"\nworld\n')

    assert isinstance(error, BadParam)
    assert "body" in str(error)


def test_a_verb_with_a_body_is_refused(refused):
    assert "line of its own" in str(refused("%%elumenta balance\nhello\n"))


@pytest.mark.parametrize(
    ("word", "near"), [("blance", "balance"), ("imge", "image"), ("dalle-3", "dall-e-3"), ("sora2", "sora-2")]
)
def test_an_unknown_word_gets_the_closest_of_everything(refused, word, near):
    error = refused(f"%elumenta {word}")

    assert isinstance(error, UnknownModel)
    assert near in error.hint


def test_an_older_slug_says_what_it_is_called_now(refused):
    assert "kling-v2.1 --mode pro" in refused("%%elumenta kling-v2.1-pro\na cat\n").hint


def test_templates_are_filled_once_in_body_and_options(run, shell, session):
    shell.user_ns.update(size="1024x1024", thing="a {{ boat }}")
    run("%%elumenta image dall-e-3 --size {{ size }}\n{{ thing }} at {50%}\n")

    ask = session.asked[0][0]
    assert ask.prompt == "a {{ boat }} at {50%}"
    assert ask.options["size"] == "1024x1024"


def test_raw_leaves_the_braces(run, session):
    run("%%elumenta text gpt-5 --raw\n{{ x }}\n")

    assert session.asked[0][0].prompt == "{{ x }}"


def test_a_template_yields_values_never_options(run, shell, session):
    shell.user_ns["sly"] = "--count"
    run("%%elumenta text gpt-5 --system {{ sly }}\nhello\n")

    assert session.asked[0][0].count == 1
    assert session.asked[0][0].options == {"system_prompt": "--count"}


def test_text_streams_unless_told_otherwise(run, session):
    run("%%elumenta text gpt-5\nhello\n")
    run("%%elumenta text gpt-5 --no-stream\nhello\n")
    run("%%elumenta image dall-e-3\nhello\n")

    assert [ask.stream for ask, _ in session.asked] == [True, False, False]


def test_an_input_is_a_variable_a_url_or_a_path(run, shell, session, here):
    picture = run("%%elumenta dall-e-3 -o cat\na cat\n")
    run("%elumenta remove-bg --image cat")
    run("%elumenta remove-bg --image https://example.org/cat.png")
    run("%elumenta remove-bg --input cat")

    assert session.asked[1][0].options["image_url"] is picture
    assert session.asked[2][0].options["image_url"] == "https://example.org/cat.png"
    assert session.asked[3][0].input is picture


def test_a_name_that_is_a_file_and_a_variable_is_ambiguous(run, refused, here):
    run("%%elumenta dall-e-3 -o cat\na cat\n")
    (here / "cat").write_bytes(b"x")

    assert "./cat" in refused("%elumenta remove-bg --image cat").hint


def test_one_of_several_results_can_be_named(run, session):
    cats = run("%%elumenta dall-e-3 -o cats --count 2\na cat\n")
    run("%elumenta remove-bg --image cats[1]")

    assert session.asked[1][0].options["image_url"] is cats[1]


def test_other_variables_are_no_input(shell, refused):
    shell.user_ns["n"] = 3

    assert "holds a int" in str(refused("%elumenta remove-bg --image n"))


def test_code_makes_the_next_cell(run, shell):
    made = []
    shell.set_next_input = lambda source, replace=False: made.append(source)
    run("%%elumenta text gpt-5 --as code\nadd two numbers\n")

    assert len(made) == 1


def test_again_buys_the_last_generation_anew(run, session):
    run("%%elumenta text gpt-5\nhello\n")
    run("%elumenta again")

    assert session.asked[1][0].fresh is True
    assert session.asked[1][0].prompt == "hello"


def test_an_interrupt_says_what_may_still_be_charged(shell, session):
    session.events = [v.Sent(call_id=7, held=26), v.Stopped(call_id=7, status="pending", at_risk=26)]
    session.error = KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt) as caught:
        shell.run("%%elumenta video kling-v2.1\na cat\n")

    text = "\n".join(caught.value._render_traceback_())
    assert "Up to 26 tokens may still be charged." in text
    assert "%elumenta recover 7" in text


def test_an_interrupt_before_anything_was_sent_costs_nothing(shell, session):
    session.events = [v.Stopped(call_id=7, status="cancelled", at_risk=0)]
    session.error = KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt) as caught:
        shell.run("%%elumenta video kling-v2.1\na cat\n")

    assert "Nothing was charged." in "\n".join(caught.value._render_traceback_())


def test_a_loop_of_lines_shows_one_receipt_for_all(run, shown, session):
    run('for n in range(3):\n    %elumenta text gpt-5 "{{ n }}"')

    assert [ask.prompt for ask, _ in session.asked] == ["0", "1", "2"]
    assert shown.texts == ["gpt-5 × 3 · 39 tokens · 4.1 s"]


def test_a_prompt_without_quotes_is_recognised(refused, session):
    def unknown(ask):
        raise UnknownModel(f"There is no model {ask.model!r}.", hint="All models: %elumenta models")

    session.resolve = unknown
    error = refused("%elumenta image a cat")
    assert error.hint.splitlines()[0] == 'A prompt stands in quotes: %elumenta image "a cat"'

    error = refused('%elumenta image dalle "a cat"')
    assert error.hint == "All models: %elumenta models"


def test_words_on_the_line_of_a_cell_point_to_options_that_there_are(refused):
    assert refused("%%elumenta image a cat\nx").hint == "All options: %elumenta image -h"
    assert refused("%%elumenta image dall-e-3 cat\nx").hint == "All options: %elumenta dall-e-3 -h"
