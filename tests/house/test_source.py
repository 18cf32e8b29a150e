"""Habits of the source that no linter knows: sentences are translatable, categories are columns, files are short."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import elumenta_nb._errors
from elumenta_nb._catalog import catalog

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "elumenta_nb"
SOURCES = sorted(PACKAGE.rglob("*.py"))
LIMIT = 450
LONGER = {  # why one file is one concern although it is long
}
ERRORS = set(elumenta_nb._errors.__all__) - {"Spent", "redact"}


@cache
def every_node(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    for path in SOURCES:
        for node in every_node(path):
            if isinstance(node, kinds):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def test_only_the_command_line_prints():
    found = [
        where
        for where, node in nodes(ast.Call)
        if called(node) == "print" and not re.match(r".*_cli\.py|.*__main__\.py", where)
    ]

    assert found == []


def names_a_category(node: ast.AST) -> bool:
    """`category`, `call.category`, `row.category.name`: not a column of it, such as `category.ask`."""
    return bool(re.search(r"(^|[._])category(\.name)?$", ast.unparse(node)))


def constants(node: ast.AST) -> set[object]:
    parts = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    return {part.value for part in parts if isinstance(part, ast.Constant)}


def test_nothing_branches_on_a_category_s_name():
    names = {name for row in catalog().categories.values() for name in (row.name, *row.aliases, *row.wire)}
    found = []
    for where, node in nodes(ast.Compare, ast.Match):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            hit = any(names_a_category(side) for side in sides) and any(constants(side) & names for side in sides)
        else:
            cases = {
                part.value.value
                for case in node.cases
                for part in ast.walk(case.pattern)
                if isinstance(part, ast.MatchValue) and isinstance(part.value, ast.Constant)
            }
            hit = names_a_category(node.subject) and bool(cases & names)
        if hit:
            found.append(f"{where} {ast.unparse(node)[:80]}")

    assert found == [], "a category that needs a branch needs a column in the table"


def test_files_are_short_enough_to_be_one_concern():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in SOURCES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LIMIT
    }

    assert {name: lines for name, lines in long.items() if name not in LONGER} == {}


def untranslated(node: ast.AST | None) -> str:
    """The literal sentence in an argument that went round gettext, or an empty string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    elif isinstance(node, ast.JoinedStr):
        text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    elif isinstance(node, ast.BinOp):
        return untranslated(node.left) or untranslated(node.right)
    elif isinstance(node, ast.IfExp):
        return untranslated(node.body) or untranslated(node.orelse)
    elif isinstance(node, ast.BoolOp):
        return next(filter(None, map(untranslated, node.values)), "")
    elif isinstance(node, ast.Call) and called(node) == "format" and isinstance(node.func, ast.Attribute):
        return untranslated(node.func.value)
    else:
        return ""
    code = text.lstrip().startswith(("%", "elumenta-nb ", "pip ", "el.", "http"))
    return "" if code or not re.search(r"[A-Za-z]{2,}\s+[A-Za-z]{2,}", text) else text


def test_every_sentence_of_an_error_can_be_translated():
    found = []
    for where, node in nodes(ast.Call):
        if called(node) not in ERRORS:
            continue
        said = [*node.args[:1], *(word.value for word in node.keywords if word.arg in ("hint", "message"))]
        found += [f"{where} {text!r}" for part in said if (text := untranslated(part))]

    assert found == []


def test_a_translatable_sentence_is_a_plain_literal():
    """xgettext cannot read an f-string, and `.format` inside the call would translate the filled sentence."""
    found = [
        where
        for where, node in nodes(ast.Call)
        if isinstance(node.func, ast.Name)
        and node.func.id in ("_", "ngettext", "pgettext")
        and node.args
        and (
            isinstance(said := node.args[-1 if node.func.id == "pgettext" else 0], ast.JoinedStr | ast.BinOp)
            or called(said) == "format"
        )
    ]

    assert found == []


def test_ignores_say_which_rule_and_why():
    bare = re.compile(r"#\s*(type:\s*ignore|noqa)(?!\s*[\[:])")
    reasonless = re.compile(r"#\s*noqa:\s*[A-Z0-9, ]+$")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if bare.search(line) or reasonless.search(line)
    ]

    assert found == []
