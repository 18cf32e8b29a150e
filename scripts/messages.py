"""The sentences of the package and their Russian: ``python scripts/messages.py`` (``--check``: only compare).

Reads every `_`, `N_`, `gettext`, `ngettext` and `pgettext` of the sources and the titles and helps of the catalogue,
writes `elumenta_nb.pot`, brings `ru/LC_MESSAGES/elumenta_nb.po` up to date and compiles the `.mo` beside it. A sentence
that changed is a new one without a translation: it is named here, and a test fails until it is written in the `.po`.
"""

from __future__ import annotations

import ast
import io
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "elumenta_nb"
DOMAIN: Final = "elumenta_nb"
TEMPLATE: Final = PACKAGE / "locale" / f"{DOMAIN}.pot"
LANGUAGES: Final = ("ru",)
KEYWORDS: Final = {"_": 1, "N_": 1, "gettext": 1, "ngettext": 2, "pgettext": 2}  # and how many literals each takes
# Headers that would change with every run and every version of Babel.
_RESTLESS: Final = (
    '"POT-Creation-Date:',
    '"PO-Revision-Date:',
    '"Generated-By:',
    '"Last-Translator:',
    '"Language-Team:',
    '"Project-Id-Version:',
    '"Report-Msgid-Bugs-To:',
)
_ANY_DAY: Final = datetime(2026, 11, 22, tzinfo=UTC)


Sentence = tuple[str | None, str | tuple[str, str]]  # context, text or (one, many)


def of_source(text: str) -> Iterator[Sentence]:
    """The literal sentences of a Python source, those inside f-strings as well."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    for node in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        if not (isinstance(node.func, ast.Name) and node.func.id in KEYWORDS):
            continue
        said = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        if len(said) == len(node.args[: KEYWORDS[node.func.id]]) == KEYWORDS[node.func.id]:
            if node.func.id == "ngettext":
                yield None, (said[0], said[1])
            else:
                yield (said[0] if node.func.id == "pgettext" else None), said[-1]


def of_table(text: str) -> Iterator[Sentence]:
    """The title of each category and the help of each parameter of the catalogue."""
    data = tomllib.loads(text)
    for row in data["category"]:
        yield None, row["title"]
        yield from ((None, param["help"]) for param in row.get("param", ()) if param.get("help"))
    for model in data["model"]:
        yield from ((None, row["help"]) for row in model.get("params", {}).values() if row.get("help"))


def folder(language: str) -> Path:
    return PACKAGE / "locale" / language / "LC_MESSAGES"


def extracted() -> Catalog:
    """Every sentence of the sources as they are now."""
    catalog = Catalog(project=DOMAIN, charset="utf-8", fuzzy=False)
    for path in sorted([*PACKAGE.rglob("*.py"), PACKAGE / "_catalog.toml"]):
        read = of_table if path.suffix == ".toml" else of_source
        for context, said in read(path.read_text(encoding="utf-8")):
            catalog.add(said, locations=[(path.relative_to(ROOT).as_posix(), 1)], context=context)
    return catalog


def translated(language: str) -> Catalog:
    """The catalogue of a language as it is in its file; empty where there is none."""
    path = folder(language) / f"{DOMAIN}.po"
    if not path.exists():
        return Catalog(locale=language, project=DOMAIN, fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=language, domain=DOMAIN)


def updated(language: str, template: Catalog) -> Catalog:
    """The language's catalogue with exactly the sentences of the template; nothing is guessed."""
    catalog = translated(language)
    catalog.update(template, no_fuzzy_matching=True, update_header_comment=False)
    catalog.obsolete.clear()
    catalog.header_comment = template.header_comment
    return catalog


def as_text(catalog: Catalog) -> str:
    """The catalogue as a file: by source, without line numbers, dates and versions, so that only sentences change it."""
    buffer = io.BytesIO()
    write_po(buffer, catalog, width=120, sort_by_file=True, include_lineno=False)
    lines = buffer.getvalue().decode("utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(_RESTLESS))


def as_binary(catalog: Catalog) -> bytes:
    """The catalogue as gettext of the standard library reads it."""
    catalog.creation_date = catalog.revision_date = _ANY_DAY
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def missing(catalog: Catalog) -> list[str]:
    """The sentences without a translation, or with a guessed one."""
    return [
        str(message.id)
        for message in catalog
        if message.id and (message.fuzzy or not (all(message.string) if message.pluralizable else message.string))
    ]


def main() -> int:
    only_look = "--check" in sys.argv[1:]
    template = extracted()
    template.header_comment = "# The sentences of elumenta_nb. Made by `make messages`; not to be edited."
    files: dict[Path, bytes] = {TEMPLATE: as_text(template).encode()}
    untranslated: list[str] = []
    for language in LANGUAGES:
        catalog = updated(language, template)
        catalog.header_comment = "# elumenta_nb: translations, to be edited here; then `make messages`."
        files[folder(language) / f"{DOMAIN}.po"] = as_text(catalog).encode()
        files[folder(language) / f"{DOMAIN}.mo"] = as_binary(catalog)
        untranslated += [f"{language}: {text}" for text in missing(catalog)]
    stale = [path for path, data in files.items() if not path.exists() or path.read_bytes() != data]
    if not only_look:
        for path in stale:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[path])
    for text in untranslated:
        print(f"not translated, {text}", file=sys.stderr)
    return int(bool(untranslated) or (only_look and bool(stale)))


if __name__ == "__main__":
    raise SystemExit(main())
