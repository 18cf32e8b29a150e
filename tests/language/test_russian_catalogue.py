"""The Russian catalogue: complete, compiled, and saying what the English says."""

import ast
import gettext
import io
import re
import string
from pathlib import Path

import pytest

from elumenta_nb import _errors
from elumenta_nb._catalog import catalog

PACKAGE = Path(__file__).parents[2] / "elumenta_nb"
ADVICE = "run `make messages`, then write what it names in elumenta_nb/locale/ru/LC_MESSAGES/elumenta_nb.po"
# What stays as it is in every language: code, options, variables, class names, files, addresses.
CODE = re.compile(
    r"%%?elumenta(?: [a-z-]+\b)?|(?<![\w-])--?[a-z][a-z-]*|ELUMENTA_[A-Z_]+|[A-Z]+_PROXY|SSL_CERT_FILE|https?://[\w./:-]+"
    r"|\bel\.\w+|\b(?:SANDBOX|Result|Handle|DataFrame|Decimal|JSON|SQLite|PostgreSQL|WAL|LLM|API|Starter|Basic\+|VIP|Elite)\b"
    r"|\b[a-z]+_[a-z_]+\b|(?<!\w)\.[a-z]+\b"
)
WORDS_OF_CODE = {
    "COMMAND",
    "CATEGORY",
    "MODEL",
    "VERB",
}  # places to fill in a usage line, which Russian names its own way


def texts(said) -> list[str]:
    return list(said) if isinstance(said, tuple | list) else [said]


def keys(catalogue) -> dict:
    return {(message.context, tuple(texts(message.id))): message for message in catalogue if message.id}


def said_in(catalogue) -> dict:
    """Those with a translation; one test is about those without."""
    return {key: message for key, message in keys(catalogue).items() if all(texts(message.string))}


def holes(text: str) -> list[tuple[str, str, str]]:
    """The placeholders of a sentence, in the order of their names."""
    parsed = string.Formatter().parse(text)
    return sorted((name, spec or "", conversion or "") for _text, name, spec, conversion in parsed if name is not None)


def filled(text: str) -> bool:
    """Whether the sentence goes through `.format`: one without a named hole may hold braces of its own."""
    return bool(re.search(r"\{\w+(![rs])?(:[^}]*)?\}", text))


def test_every_sentence_of_the_sources_is_translated(sentences, russian):
    theirs = keys(russian)
    lacking = [
        key[1]
        for key in keys(sentences)
        if key not in theirs or theirs[key].fuzzy or not all(texts(theirs[key].string))
    ]

    assert lacking == [], ADVICE


def test_the_sources_hold_many_sentences_and_those_of_the_table(sentences):
    found = {key[1][0] for key in keys(sentences)}

    assert len(found) > 500
    for row in catalog().categories.values():
        assert row.title in found
        assert {param.help for param in row.params if param.help} <= found


def test_nothing_is_translated_that_nobody_says(sentences, russian):
    assert set(keys(russian)) - set(keys(sentences)) == set(), ADVICE
    assert dict(russian.obsolete) == {}


def test_the_template_in_the_package_is_that_of_the_sources(messages, sentences):
    with messages.TEMPLATE.open("rb") as file:
        held = keys(messages.read_po(file))

    assert set(held) == set(keys(sentences)), ADVICE


def test_the_compiled_catalogue_is_that_of_the_text(messages, russian):
    path = messages.folder("ru") / "elumenta_nb.mo"
    with path.open("rb") as file:
        held = gettext.GNUTranslations(file)
    made = gettext.GNUTranslations(io.BytesIO(messages.as_binary(russian)))

    ours, theirs = ({k: v for k, v in each._catalog.items() if k != ""} for each in (held, made))
    assert ours == theirs, "run `make messages`"
    assert held.plural(21) == 0


@pytest.mark.parametrize(("n", "form"), [(1, 0), (2, 1), (5, 2), (11, 2), (21, 0), (22, 1), (25, 2), (111, 2)])
def test_the_plural_rule_is_the_russian_one(messages, n, form):
    with (messages.folder("ru") / "elumenta_nb.mo").open("rb") as file:
        assert gettext.GNUTranslations(file).plural(n) == form


def test_placeholders_are_those_of_the_source(russian):
    wrong = []
    for (_context, ids), message in said_in(russian).items():
        for at, text in enumerate(texts(message.string)):
            source = ids[min(at, len(ids) - 1)]
            if (filled(source) or filled(text)) and holes(text) != holes(source):
                wrong.append((source, text))

    assert wrong == []


def test_a_plural_has_three_forms_each_with_its_number(russian):
    plurals = [message for message in said_in(russian).values() if message.pluralizable]

    assert plurals
    for message in plurals:
        assert len(message.string) == 3
        assert all("{n}" in form for form in message.string), message.id


def test_code_stays_as_it_is(russian):
    """Verbs, options, variables and class names are the same in both languages."""
    wrong = []
    for (_context, ids), message in said_in(russian).items():
        wanted = set(CODE.findall(ids[0])) - WORDS_OF_CODE
        if lost := {word for word in wanted if word not in texts(message.string)[0]}:
            wrong.append((ids[0], lost))

    assert wrong == []


def test_the_words_for_money_are_the_agreed_ones(russian):
    """Failed is "не списано", never "возвращено"; tokens are токены."""
    said = " ".join(text for message in said_in(russian).values() for text in texts(message.string)).lower()

    assert "возвращен" not in said
    assert "возврат" not in said
    assert "не списано" in said


def test_the_reader_is_addressed_politely(russian):
    familiar = re.compile(r"\b(ты|тебя|тебе|твой|твоя|твоё|твои)\b", re.IGNORECASE)
    found = [text for message in said_in(russian).values() for text in texts(message.string) if familiar.search(text)]

    assert found == []


def test_quotation_marks_are_russian_and_spaces_single(russian):
    said = [text for message in said_in(russian).values() for text in texts(message.string)]

    assert [text for text in said if re.search(r"[“”„]", text)] == []
    assert [text for text in said if re.search(r"(?<=[а-яё]\s)\"|\"(?=[а-яё])", text)] == []
    assert [text for text in said if re.search(r"[а-яё,.]  +[а-яё]", text)] == []


def test_ends_are_those_of_the_source(russian):
    """A full stop, a question mark, a colon or a space at the end is part of how sentences are put together."""
    ends = re.compile(r"[.?!:…\s]*$")
    wrong = [
        (ids[0], text)
        for (_context, ids), message in said_in(russian).items()
        for text in texts(message.string)[:1]
        if ends.search(ids[0])[0].strip(".") != ends.search(text)[0].strip(".")
    ]

    assert wrong == []


def test_error_class_names_are_not_translated(sentences):
    assert {key[1][0] for key in keys(sentences)} & {
        name for name in _errors.__all__ if isinstance(getattr(_errors, name), type)
    } == set()


def frozen(tree: ast.Module) -> list[int]:
    """Lines where a sentence would be translated once, when the module is imported."""
    found = []

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Lambda):
                continue
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                early = [*child.decorator_list, *child.args.defaults, *filter(None, child.args.kw_defaults)]
                for part in early:
                    visit(ast.Expr(part))
                continue
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Name):
                if child.func.id in ("_", "gettext", "ngettext", "pgettext", "tokens", "_tokens", "number", "span"):
                    found.append(child.lineno)
            visit(child)

    visit(tree)
    return found


def test_no_sentence_is_translated_at_import():
    """The language may change later: tables hold `N_()` or a function."""
    assert frozen(ast.parse('X = _("a")\ndef f(x=_("b")): return _("c")\nY = lambda: _("d")')) == [1, 2]

    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in PACKAGE.rglob("*.py")
        for line in frozen(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_sentences_inside_f_strings_are_collected(messages):
    found = list(
        messages.of_source("x = f\"{_('Call')} {pgettext('a', 'b')}\"; ngettext(\"{n} c\", \"{n} d\", 2); _(x)")
    )

    assert found == [(None, "Call"), ("a", "b"), (None, ("{n} c", "{n} d"))]


def test_a_sentence_that_is_new_is_named_by_the_script(messages, sentences):
    catalogue = messages.updated("ru", sentences)
    before = messages.missing(catalogue)
    catalogue.add("A sentence nobody translated.")

    assert set(messages.missing(catalogue)) - set(before) == {"A sentence nobody translated."}
