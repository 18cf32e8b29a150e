"""The line of the magic: words, options, quotes."""

import shlex

import pytest
from hypothesis import given, strategies as st

from elumenta_nb._catalog import catalog
from elumenta_nb._errors import BadParam, ElumentaError, UnknownModel
from elumenta_nb._options import COMMON, options_of, typed
from elumenta_nb._parser import parse, split
from elumenta_nb._verbs import VERBS


def unknown(word):
    raise UnknownModel(word)


def read(line, fill=str):
    return parse(line, verbs=VERBS, lookup=unknown, fill=fill)


def test_an_underscore_is_a_dash():
    assert read("text --max_tokens 5 --max_price 3").params == {"max_tokens": "5"}
    assert read("text --max_price 3")["max-price"] == 3


def test_an_equals_sign_gives_the_value():
    assert read("text --system='--be brief'").params == {"system_prompt": "--be brief"}


def test_options_are_never_abbreviated():
    with pytest.raises(BadParam) as caught:
        read("text gpt-5 --temp 1")

    assert "--temperature" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("1.5", 1.5), ("true", True), ("True", True), ("null", None), ("[1, 2]", [1, 2]), ('{"a": 1}', {"a": 1}),
        ('"1"', "1"), ("hello", "hello"), ("NaN", "NaN"), ("Infinity", "Infinity"), ("", ""), ("16:9", "16:9"),
    ],
)  # fmt: skip
def test_a_free_parameter_is_typed_as_json(text, value):
    assert typed(text) == value


def test_free_parameters_may_repeat():
    assert read("image -p a=1 -p b-c='[1, 2]'").extra == {"a": 1, "b_c": [1, 2]}


def test_a_switch_of_the_api_takes_a_value_or_none():
    for line, value in [("--diarize", "true"), ("--diarize false", "false"), ("--no-diarize", "false")]:
        assert read(f"stt elevenlabs-scribe --file x.mp3 {line}").params["diarize"] == value


def test_reuse_alone_means_all():
    assert read("text --reuse --fresh")["reuse"] == "all"
    assert read("text --reuse media gpt-5").model == "gpt-5"


def test_negative_numbers_are_values():
    assert read("text --temperature -1").params == {"temperature": "-1"}


def test_a_template_stays_in_one_piece():
    assert split('text --system {{ d["a b"] }} x') == ["text", "--system", '{{ d["a b"] }}', "x"]


def test_a_verb_takes_its_own_options():
    assert read("spend --by model --since 2026-11-20").options == {"by": "model", "since": "2026-11-20"}


def test_price_takes_the_options_of_the_model():
    line = read("price dall-e-3 --quality hd --count 3")

    assert (line.verb, line.model, line.params, line["count"]) == ("price", "dall-e-3", {"quality": "hd"}, 3)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("text 'it is", "quote"),
        ("text --count x", "whole number"),
        ("text --count 0", "whole number"),
        ("text --max-price -1", "whole number"),
        ("text --max-price", "needs a value"),
        ("text --system --quote", "needs a value"),
        ("text --as python", "one of markdown, text, json, code"),
        ("text -o 3x", "name"),
        ("text -o class", "name"),
        ("text -p 5", "name=value"),
        ("text --quote=1", "takes no value"),
        ("balance 3", "does not take"),
        ("--quote balance", "has no option"),
        ("image dall-e-3 --qualty hd", "--qualty"),
        ("stt --stream", "--stream"),
    ],
)
def test_a_bad_line_is_refused_in_words(line, part):
    with pytest.raises(BadParam) as caught:
        read(line)

    assert part in str(caught.value)


def test_words_of_the_line_mean_one_thing_only():
    table = catalog()
    names = [*VERBS, *table.categories, *table.models, *table.older]
    names += [alias for row in table.categories.values() for alias in row.aliases]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("slug", catalog().models)
def test_every_parameter_of_every_model_is_an_option_and_none_hides_ours(slug):
    model = catalog().models[slug]
    category = catalog().categories[model.category]
    flags = [flag for option in options_of(category, model) for flag in option.flags]

    assert len(flags) == len(set(flags))
    for param in catalog().params_of(category, model):
        assert set(param.flags) <= set(flags)
    for needed in ("out", "quote", "max-price", "count", "fresh", "param", "help", "tag", "quiet", "background"):
        assert needed in flags


@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_line_is_read_or_refused_by_an_error_of_ours(words):
    line = " ".join(["text", *words])
    try:
        read(line)
    except ElumentaError as error:
        assert str(error)


def test_every_option_of_the_interface_exists():
    flags = {flag for option in COMMON for flag in option.shown}

    assert flags >= {
        "-o", "--out", "--quote", "--max-price", "--max", "--count", "--fresh", "--reuse", "-b", "--background", "--save",
        "--as", "--chat", "--stream", "--no-stream", "--input", "--raw", "--embed", "--quiet", "--tag", "-p", "-h", "--help",
    }  # fmt: skip


@given(st.text(alphabet="ab \t\"'\\{}", max_size=24).filter(lambda line: "{{" not in line))
def test_quotes_and_backslashes_are_those_of_a_shell(line):
    line += "."  # a shell wants something behind a last backslash
    try:
        words = shlex.split(line)
    except ValueError:
        with pytest.raises(BadParam, match="quote"):
            split(line)
    else:
        assert split(line) == words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('--system "as {{ d["x"] }} says" x', ["--system", 'as {{ d["x"] }} says', "x"]),
        ("'{{ d['x'] }}'y", ["{{ d['x'] }}y"]),
        ("{{ \"it's\" }} {var} it\\'s", ['{{ "it\'s" }}', "{var}", "it's"]),
        ('--system "" "a \\"b\\" {{ c["\\\\"] }}"', ["--system", "", 'a "b" {{ c["\\\\"] }}']),
        ("a\u00a0--max-price\u202f5", ["a", "--max-price", "5"]),
        ("text \ue0005\ue001", ["text", "\ue0005\ue001"]),
        ("{{ open", ["{{", "open"]),
        ("last \\", ["last", "\\"]),
    ],
)
def test_a_line_is_split_at_its_spaces_outside_quotes_and_templates(line, words):
    assert split(line) == words


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("—max-price", "--max-price"),
        ("–-quote", "--quote"),
        ("-—count=3", "--count"),
        ("−h", "-h"),
        ("—size", "--size"),
    ],
)
def test_an_option_with_the_dash_of_a_word_processor_is_refused_not_sent_as_prompt(word, meant):
    with pytest.raises(BadParam, match="not a hyphen") as caught:
        read(f"image dall-e-3 {word} 5 'a cat'")

    assert meant in caught.value.hint


def test_a_dash_within_a_prompt_is_its_own():
    assert read("text gpt-5 a cat — in a —hat –").words == ("a", "cat", "—", "in", "a", "—hat", "–")


@pytest.mark.parametrize(
    "line", ["text --system “be short” hi", "text --system «кратко и ясно» hi", "text --as=„json x"]
)
def test_a_value_in_quotes_that_do_not_count_is_not_cut_at_its_first_space(line):
    with pytest.raises(BadParam, match="not a quote") as caught:
        read(line)

    assert '"…"' in caught.value.hint
    assert read("text --system “short” hi").params == {"system_prompt": "“short”"}
    assert read("text --system '“Be short' hi").params == {"system_prompt": "“Be short"}


@pytest.mark.parametrize("option", ["--reuse=onyl", "--reuse=none", "--diarize=perhaps"])
def test_a_value_given_by_an_equals_sign_is_one_of_those_it_takes(option):
    with pytest.raises(BadParam, match="does not take"):
        read(f"stt elevenlabs-scribe {option}")

    assert read("stt elevenlabs-scribe --reuse=ONLY")["reuse"] == "only"


@pytest.mark.parametrize("text", ["1,5", "0,5", "1,00", "1,0000", ",1", "1,", "1.5"])
def test_a_decimal_comma_is_not_a_whole_number(text):
    with pytest.raises(BadParam, match="whole number"):
        read(f"text --max-price {text}")


@pytest.mark.parametrize("text", ["1000", "1,000", "1_000", "'1 000'", "'1\u00a0000'"])
def test_thousands_may_be_grouped(text):
    assert read(f"text --max-price {text}")["max-price"] == 1000
