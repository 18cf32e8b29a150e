"""Who may import whom, read from the imports themselves. A module that is not in the table fails here."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "elumenta_nb"

# Lower never imports higher; modules of one row may import each other as long as there is no circle.
LAYERS = [
    ["_language"],
    ["_errors"],
    ["_address", "_catalog", "_disk", "_inline", "_journal", "_keys", "_markdown", "_receipt", "_sniff", "_values"],
    ["_alike", "_config", "_inputs", "_order", "_template"],
    ["sandbox"],
    [
        "_draft",
        "_findings",
        "_index",
        "_lines",
        "_prices",
        "_preview",
        "_render",
        "_saved",
        "_sidecar",
        "_store",
        "_texts",
        "_wire",
    ],
    ["_client", "_ledger", "_result", "_runtime"],
    ["_answers", "_delivery", "_earlier", "_engine", "_generation", "_history", "_recovery", "_services"],
    ["_books", "_buying", "_doctor", "_past", "_reach", "_spend", "_wiring"],
    ["_interrupt", "_progress", "_shell"],  # the display edge: it knows the front end, and nothing of sessions
    ["_background"],
    ["_surroundings"],
    ["_calling"],
    ["_batch"],
    ["_mapping"],
    ["_session"],
    [
        "_asks",
        "_cards",
        "_help",
        "_notebook_cells",
        "_notebook_price",
        "_notebook_report",
        "_options",
        "_parser",
        "_shown",
    ],  # what a line can say: tables and words
    [
        "_api",
        "_cells",
        "_completion",
        "_guard",
        "_magics",
        "_pandas",
        "_panels",
        "_verbs",
    ],
    ["_cli", "_cli_map", "_demo"],
    ["__init__", "__main__"],
]
RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row}
ONLY = {"sandbox": {"_catalog", "_values", "_errors", "_journal", "_language", "sandbox"}}

# library -> the only modules that may name it
FENCES = {
    "httptools": {"_client"},
    "httpx": {"_client"},
    "sqlalchemy": {"_ledger"},
    "IPython": {"_magics", "_completion", "_shell", "_progress"},
    "ipykernel": {"_magics", "_completion", "_shell", "_progress"},
    "ipywidgets": {"_panels", "_progress"},
    "traitlets": {"_panels", "_progress"},
    "starlette": {"sandbox"},
    "uvicorn": {"sandbox"},
    "av": {"sandbox"},
    "numpy": {"_ledger", "_spend", "sandbox"},
    "keyring": {"_keys"},
    "jinja2": {"_template"},
    "altair": {"_spend"},
    "vl_convert": {"_spend"},
    "dask": {"_batch"},
    "distributed": {"_batch"},
    "nbclient": {"_cli", "_demo"},
    "nbconvert": {"_cli", "_demo"},
}
# What `pip install elumenta-nb` brings; everything else is asked for inside a function, by the extra that needs it.
CORE = {
    "anyio",
    "httptools",
    "httpx",
    "IPython",
    "ipywidgets",
    "jinja2",
    "pandas",
    "PIL",
    "platformdirs",
    "sqlalchemy",
    "truststore",
}


def modules() -> dict[str, Path]:
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))}


def unit(module: str) -> str:
    """The row's name for a module: the first part (`_ledger.schema` is `_ledger`)."""
    return module.split(".", maxsplit=1)[0]


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@cache
def imports(path: Path, module: str, *, typing: bool = False) -> list[tuple[str, int, bool]]:
    """(absolute dotted name, line, at module level) of every import that runs; `typing` for those that do not."""
    found: list[tuple[str, int, bool]] = []
    parts = ["elumenta_nb", *module.split(".")]
    holder = parts if path.name == "__init__.py" and module != "__init__" else parts[:-1]
    if path.name == "__init__.py":
        holder = parts[:-1]

    def visit(node: ast.AST, top: bool, inside_typing: bool) -> None:
        for child in ast.iter_child_nodes(node):
            inner = inside_typing or is_type_checking(child)
            if isinstance(child, ast.Import) and inner == typing:
                found.extend((alias.name, child.lineno, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and inner == typing:
                base = [] if not child.level else holder[: len(holder) - child.level + 1]
                name = ".".join([*base, *(child.module.split(".") if child.module else [])])
                if name == "elumenta_nb":  # from . import _session
                    found.extend((f"elumenta_nb.{alias.name}", child.lineno, top) for alias in child.names)
                else:
                    found.append((name, child.lineno, top))
            deeper = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            visit(child, top and not deeper, inner)

    visit(ast.parse(path.read_text(encoding="utf-8")), True, False)
    return found


def ours(name: str) -> str | None:
    """The row that an import of ours names, or ``None`` for a library."""
    parts = name.split(".")
    return None if parts[0] != "elumenta_nb" else (parts[1] if len(parts) > 1 else "__init__")


MODULES = modules()


def test_every_module_has_a_place_in_the_table():
    unknown = sorted({unit(name) for name in MODULES} - set(RANK))

    assert unknown == [], "give it a row in LAYERS: where does it stand?"


def test_lower_never_imports_higher():
    wrong = []
    for module, path in MODULES.items():
        for name, line, _ in imports(path, module):
            target = ours(name)
            if target in RANK and RANK[target] > RANK[unit(module)]:
                wrong.append(f"{path.name}:{line} imports {target}")

    assert wrong == []


@pytest.mark.parametrize("module", sorted(ONLY))
def test_a_restricted_module_imports_only_what_it_may(module):
    wrong = [
        f"{path}:{line} imports {name}"
        for dotted, path in MODULES.items()
        if unit(dotted) == module
        for name, line, _ in imports(path, dotted)
        if ours(name) and ours(name) not in ONLY[module]
    ]

    assert wrong == []


def test_modules_of_one_row_do_not_import_each_other_in_a_circle():
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        graph.setdefault(unit(module), set()).update(
            target
            for name, _, top in imports(path, module)
            if top and (target := ours(name)) in RANK and target != unit(module)
        )
    graph.pop("__init__", None)
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for target in graph.get(name, ()):
                walk(target, (*trail, name))
            done.add(name)

    for name in graph:
        walk(name, ())

    assert done >= set(graph)


@pytest.mark.parametrize("library", sorted(FENCES))
def test_a_fenced_library_stays_behind_its_fence(library):
    wrong = [
        f"{path.name}:{line}"
        for module, path in MODULES.items()
        for name, line, _ in imports(path, module)
        if name.split(".")[0] == library and unit(module) not in FENCES[library]
    ]

    assert wrong == [], f"{library} belongs to {', '.join(sorted(FENCES[library]))}"


def test_a_library_of_an_extra_is_never_imported_at_module_level_outside_it():
    allowed = CORE | set(sys.stdlib_module_names) | {"elumenta_nb"}
    wrong = [
        f"{path.name}:{line} {name}"
        for module, path in MODULES.items()
        if unit(module) != "sandbox"
        for name, line, top in imports(path, module)
        if top and name.split(".")[0] not in allowed
    ]

    assert wrong == []
