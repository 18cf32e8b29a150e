"""Put the pages of the site together in build/docs: what is written in docs/, the notebooks, and what the code itself tells.

    python scripts/docs.py     (then `mkdocs build -f build/mkdocs.yml`; `make docs` does both)

Nothing of a reference is written by hand: options and verbs come from the magic's own tables, models and prices from the
catalogue, errors and Python names from their docstrings.
"""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import yaml
from notebook_pages import page, title
from tables import TABLES

import elumenta_nb as el
from elumenta_nb import _cli, _config, _errors
from elumenta_nb._batch import Map
from elumenta_nb._catalog import catalog
from elumenta_nb._help import about_category, about_magic, about_tokens, about_verb
from elumenta_nb._language import set_language
from elumenta_nb._pandas import SpendAccessor
from elumenta_nb._verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Callable

    from elumenta_nb._help import Page

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "docs"
TARGET = ROOT / "build" / "docs"
NOTEBOOKS = ROOT / "notebooks"
_OUT = re.compile(r"\[([^\]]+)\]\((?!https?:|#|mailto:)([^)\s]+)\)")
_TWO = re.compile(r"!\[([^\]]*)\]\((images/quickstart)\.webp\)")  # a picture of which there is a dark one as well

# The names people import, in the order in which somebody needs them.
GROUPS: dict[str, tuple[str, ...]] = {
    "To generate": ("generate", "generate_many", "submit", "agenerate", "stream"),
    "What it costs": ("quote", "price_notebook", "balance", "models", "plans", "me", "stats"),
    "What was spent": ("spend", "budget", "budgets", "account_history", "dashboard"),
    "What is not finished": ("jobs", "resume", "reconcile"),
    "For every row of a frame": ("map", "last_map"),
    "Panels": ("panel", "jobs_panel"),
    "What comes back": ("Result", "Handle", "Pending", "Stream", "Quote", "Balance", "Limits"),
    "The session": ("session", "Session", "configure", "reset", "sandbox"),
    "The extension": ("load_ipython_extension", "unload_ipython_extension"),
}


MADE = {"Session"}  # classes that people make themselves; the others come back from calls


# ---------------------------------------------------------------- pages that are written


def copied(text: str, page_folder: Path) -> str:
    """The page with links that leave docs/ as plain words: the site has no source tree beside it."""

    def kept(found: re.Match[str]) -> str:
        path = (page_folder / found[2].partition("#")[0]).resolve()
        return found[0] if path.is_relative_to(SOURCE.resolve()) else found[1]

    text = re.sub(r"\]\(((?:\.\./)*)tutorial\.md\)", r"](\1tutorial/index.md)", _OUT.sub(kept, text))
    return _TWO.sub(r"![\1](\2.webp#only-light)\n![\1](\2-dark.webp#only-dark)", text)


# ---------------------------------------------------------------- pages from the tables


def marked(page: Page, level: int = 2) -> str:
    """A help page as it stands in a notebook, with a heading of the site's."""
    text = page._repr_mimebundle_()["text/markdown"]
    heading, _newline, rest = text.partition("\n")
    usage, comma, more = heading.lstrip("# ").partition(", ")
    return f"{'#' * level} `{usage}`{comma}{more}\n{_coded(rest)}"


def _coded(text: str) -> str:
    """First cells of the tables, and magics in sentences, as code."""
    lines = [_coded_row(line) if line.startswith("| ") else _magic_as_code(line) for line in text.splitlines()]
    return "\n".join(lines)


def _magic_as_code(line: str) -> str:
    return re.sub(r"(?<!`)(%%?elumenta(?: [a-z][\w-]*)*(?: -{1,2}[a-z][\w-]*)?)", r"`\1`", line)


_HEADS = {"Option", "Verb", "Category", "Model", "Plan", "---"}  # rows of which the first cell is no code


def _coded_row(line: str) -> str:
    first, *rest = re.split(r" (?<!\\)\| ", line.removeprefix("| ").removesuffix(" |"))
    if first not in _HEADS:
        names = first.split(", ") if first.startswith("-") else [first]
        first = ", ".join(f"`{name}`" for name in names)
    return "| " + " | ".join([first, *rest]) + " |"


def magics() -> str:
    parts = ["# The magic", "Written by the table that the magic itself reads; the same as `%elumenta -h`."]
    parts.append(marked(about_magic({verb.usage: verb.help for verb in VERBS.values()})))
    parts.append("## Categories\n\nEvery option of each.")
    parts += [marked(about_category(category, None), 3) for category in catalog().categories.values()]
    parts.append("## Verbs")
    parts += [marked(about_verb(verb.usage, verb.help, verb.options), 3) for verb in VERBS.values()]
    parts.append(marked(about_tokens()).replace("## `Elumenta tokens`", "## Elumenta tokens"))
    return "\n\n".join(parts)


def models() -> str:
    intro = (
        "From the catalogue, which follows Elumenta's [page about tokens](https://docs.elumenta.ru/en/concepts/tokens). "
        "Prices are Elumenta tokens, from the cheapest parameters to the dearest; the server is always asked for the "
        "exact one. A model that the server knows and this table does not works as well. The options of each category "
        "are in [the reference of the magic](magics.md#categories)."
    )
    parts = ["# Models, plans and packages", intro]
    for category in catalog().categories.values():
        rows = [[f"`{row.slug}`", row.name, row.provider, row.tier, row.price] for row in catalog().of(category.name)]
        parts += [f"## {category.title}", f"`%%elumenta {category.name}`"]
        parts.append(table(["model", "name", "provider", "tier", "Elumenta tokens"], rows))
    parts += [
        "## Plans",
        "API access needs VIP or Elite. Plan tokens expire each month and are used before those of packages.",
        TABLES["plans"](),
        "## Packages",
        TABLES["packages"](),
    ]
    return "\n\n".join(parts)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table without the columns in which nothing stands."""
    kept = [column for column in range(len(head)) if any(row[column] for row in rows)]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line[column] or "–" for column in kept) + " |" for line in lines)


def command_line() -> str:
    own = dict(_cli._OWN_HELP)  # noqa: SLF001 - the table of `elumenta-nb help`
    verbs = {VERBS[name].usage: VERBS[name].help for name in _cli._VERBS if name in VERBS}  # noqa: SLF001 - as above
    rows = [[f"`elumenta-nb {usage.replace('|', chr(92) + '|')}`", what] for usage, what in (own | verbs).items()]
    intro = (
        "`elumenta-nb` is installed with the package. Exit status: 0 done, 1 refused or failed, 2 a wrong command line. "
        "`elumenta-nb COMMAND -h` tells the options of one. The other verbs of the magic make sense in a notebook only."
    )
    parts = ["# The command line", intro, table(["command", "what it does"], rows), "## Of its own"]
    parts += [
        marked(about_verb(command.usage, own[command.usage], command.options), 3).replace("%elumenta", "elumenta-nb")
        for command in _cli._OWN.values()  # noqa: SLF001 - as above
    ]
    return "\n\n".join(parts)


SETTINGS = {
    "api_key": "the key, `nb_…`; best kept by `%elumenta login`",
    "base_url": "the API",
    "mode": "`live` or `sandbox`; without it live where there is a key",
    "home": "ledger, sandbox state, key file, `config.toml`",
    "ledger_url": "a ledger elsewhere, as an SQLAlchemy URL",
    "media_dir": "where results are kept; `elumenta_media` beside the notebook",
    "reuse": "`all`, `media`, `off` or `only`; `all` in a cell, `off` outside",
    "confirm_above": "Elumenta tokens above which a cell must consent; 0 never asks",
    "lang": "`en` or `ru`; the locale",
    "request_form": "`params` or `flat`: which of the two documented forms of a request is sent",
    "job_timeout_s": "seconds that a cell waits for a job before `JobTimedOut`; the job goes on",
}


def settings() -> str:
    specs = _config._SPECS  # noqa: SLF001 - the table of settings
    rows = [
        f"| `{name}` | {f'`{spec.env}`' if spec.env else ''} | {'yes' if spec.project else 'no'} | "
        f"{'yes' if spec.user_file else 'no'} | {SETTINGS[name]} |"
        for name, spec in specs.items()
    ]
    return "\n".join(
        [
            "# Settings",
            "",
            (
                "First found wins: an argument of `el.configure(…)` or `el.Session(…)`, the environment, `[tool.elumenta]` of the "
                "nearest `pyproject.toml` (where it may), `config.toml` in `ELUMENTA_HOME`, the default. A project's file "
                "travels with other people's work, so it can choose neither where the key goes nor where the ledger is."
            ),
            "`%elumenta config` shows what is in force and where each setting came from.",
            "",
            "| setting | environment | project file | user file | meaning |",
            "| --- | --- | --- | --- | --- |",
            *rows,
        ]
    )


# ---------------------------------------------------------------- pages from docstrings


def errors() -> str:
    """Each error: what it says of itself, what it tells of money unless it knows better, and its own facts."""
    kinds = [getattr(_errors, name) for name in _errors.__all__ if name not in ("Spent", "redact")]
    tree = (_errors.__doc__ or "").split("\n\n")[1]
    parts = [
        "# Errors",
        "All are `el.ElumentaError`. A cell that fails is red and short: what happened, what it cost, what to do.",
        f"```text\n{tree}\n```",
        "## What each carries",
        _prose(el.ElumentaError.__doc__ or ""),
        "| error | a kind of | `.spent` unless it knows better | what it is |",
    ]
    rows = ["| --- | --- | --- | --- |"]
    for kind in kinds:
        if kind is el.ElumentaError:
            continue
        spent = kind._spent_by_default  # noqa: SLF001 - the class's own default
        rows.append(f"| `{kind.__name__}` | `{kind.__base__.__name__}` | {spent} | {_prose(kind.__doc__ or '')} |")
    return "\n\n".join(parts) + "\n" + "\n".join(rows)


def _prose(text: str) -> str:
    """A docstring in a line of Markdown: double backquotes become single ones."""
    return " ".join(inspect.cleandoc(text).replace("``", "`").split())


def python() -> str:
    parts = [
        "# Python",
        (
            "`import elumenta_nb as el`. Names are looked up when they are first used; importing costs a few milliseconds. "
            "Errors have [a page of their own](errors.md)."
        ),
    ]
    for group, names in GROUPS.items():
        present = [name for name in names if name in dir(el)]
        if present:
            parts.append(f"## {group}")
            parts += [_described(name) for name in present]
    parts.append("## `df.elumenta`\n\n" + _text(SpendAccessor))
    own = [(name, value) for name, value in vars(SpendAccessor).items() if _told(name, value)]
    parts += [_entry(name, value, 3) for name, value in own]
    return "\n\n".join(parts)


def _described(name: str) -> str:
    thing = getattr(el, name) if name != "last_map" else Map
    heading = f"### `{name}`"
    if inspect.ismodule(thing):
        inner = [_entry(f"{name}.{each}", getattr(thing, each), 4) for each in thing.__all__]
        return "\n\n".join([heading, _text(thing), *inner])
    if inspect.isclass(thing):
        members = [_entry(each, value, 4) for each, value in vars(thing).items() if _told(each, value)]
        made = _signature(name, thing) if name in MADE else ""
        return "\n\n".join([heading, made, _text(thing), *members])
    return "\n\n".join([heading, _signature(name, thing), _text(thing)])


def _told(name: str, value: Any) -> bool:
    return not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))


def _entry(name: str, value: Any, level: int) -> str:
    if isinstance(value, property):
        return f"{'#' * level} `{name}`\n\n{_text(value)}"
    return f"{'#' * level} `{name}`\n\n{_signature(name, value)}\n\n{_text(value)}"


def _text(thing: Any) -> str:
    """The docstring, its indented examples as code."""
    text = (inspect.getdoc(thing) or "").replace("``", "`")
    return re.sub(r"(?m)^(?=    \S)", "", text)


def _signature(name: str, thing: Any) -> str:
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    parameters = [each for each in found.parameters.values() if each.name != "self"]
    if inspect.isclass(thing) and not parameters:
        return ""
    back = "" if found.return_annotation in (inspect.Signature.empty, "None", None) else found.return_annotation
    back = f" -> {back if isinstance(back, str) else inspect.formatannotation(back)}" if back else ""
    short = str(found.replace(parameters=parameters, return_annotation=inspect.Signature.empty)).replace("'", "")
    line = f"{name}{short}{back}"
    if len(line) > 88:
        line = f"{name}(\n" + "".join(f"    {each},\n" for each in _each_parameter(parameters)) + f"){back}"
    return f"```python\n{line}\n```"


def _each_parameter(parameters: list[inspect.Parameter]) -> list[str]:
    lines, keyword_only = [], False
    for each in parameters:
        if each.kind is each.VAR_POSITIONAL:
            keyword_only = True
        if each.kind is each.KEYWORD_ONLY and not keyword_only:
            lines.append("*")
            keyword_only = True
        lines.append(str(each).replace("'", ""))
    return lines


# ---------------------------------------------------------------- all of it


REFERENCE: dict[str, Callable[[], str]] = {
    "magics": magics,
    "python": python,
    "models": models,
    "errors": errors,
    "command-line": command_line,
    "settings": settings,
}


def tutorial(folder: Path) -> None:
    folder.mkdir(parents=True)
    rows = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        text = page(notebook, path.stem, folder).replace("](../docs/", "](../")
        (folder / f"{path.stem}.md").write_text(text, encoding="utf-8")
        rows.append(f"1. [{title(notebook)}]({path.stem}.md)")
    intro = (SOURCE / "tutorial.md").read_text(encoding="utf-8")
    (folder / "index.md").write_text(f"{intro}\n" + "\n".join(rows) + "\n", encoding="utf-8")


def collect(target: Path = TARGET) -> None:
    """Write every page of the site to `target`, which is emptied first."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(SOURCE, target, ignore=shutil.ignore_patterns("*.py", "__pycache__", "tutorial.md"))
    for path in target.rglob("*.md"):
        home = (SOURCE / path.relative_to(target)).parent
        path.write_text(copied(path.read_text(encoding="utf-8"), home), encoding="utf-8")
    set_language("en")
    try:
        (target / "reference").mkdir()
        for name, write in REFERENCE.items():
            (target / "reference" / f"{name}.md").write_text(write() + "\n", encoding="utf-8")
        tutorial(target / "tutorial")
    finally:
        set_language(None)
    shutil.copytree(
        NOTEBOOKS, target / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints", "elumenta_media")
    )
    shutil.copy(ROOT / "CHANGELOG.md", target / "changelog.md")


def named(nav: Any) -> set[str]:
    """The files that a navigation names."""
    if isinstance(nav, str):
        return {nav}
    return set().union(*(named(each) for each in (nav.values() if isinstance(nav, dict) else nav)))


def configuration(target: Path, site: Path) -> dict[str, Any]:
    """mkdocs.yml for these folders. What its navigation does not name yet is put at the end of a section, never left out."""
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    sections = {name: pages for each in config["nav"] for name, pages in each.items()}
    present = {path.relative_to(target).as_posix() for path in target.rglob("*.md")}
    for path in sorted(present - named(config["nav"])):
        sections[SECTIONS.get(path.partition("/")[0], "How it is made")].append(path)
    return config | {"docs_dir": str(target), "site_dir": str(site)}


SECTIONS = {"tutorial": "Tutorial", "howto": "How to", "reference": "Reference"}


def main() -> None:
    collect()
    config = configuration(TARGET, ROOT / "build" / "site")
    (ROOT / "build" / "mkdocs.yml").write_text(
        yaml.safe_dump(config, allow_unicode=True, sort_keys=False), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
