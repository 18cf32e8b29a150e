"""The site builds strictly, asks nobody for anything, and its references have everything there is to look up."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
import yaml
from playwright.sync_api import sync_playwright

import elumenta_nb as el
from elumenta_nb import _errors
from elumenta_nb._catalog import catalog
from elumenta_nb._config import _SPECS
from elumenta_nb._options import COMMON, options_of
from elumenta_nb._verbs import VERBS

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LOADS = re.compile(
    r"""<(?:script|img|source|video|audio|iframe|embed|object|input)\b[^>]*?\b(?:src|srcset|data|poster)=["']?(?:https?:)?//[^\s>]+
      |<link\b[^>]*?\bhref=["']?(?:https?:)?//[^\s>]+
      |\burl\(\s*["']?(?:https?:)?//[^)]+
      |@import\s+["'](?:https?:)?//[^"']+""",
    re.VERBOSE | re.IGNORECASE,
)

pytestmark = pytest.mark.xdist_group("site")


def scripts(name):
    """A module of scripts/, whose own folder must be on the path."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        spec = importlib.util.spec_from_file_location(f"site_{name}", ROOT / "scripts" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    return module


docs = scripts("docs")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The pages as they are put together, and the site made of them: (pages, site)."""
    room = tmp_path_factory.mktemp("site")
    pages, site = room / "pages", room / "site"
    docs.collect(pages)
    config = docs.configuration(pages, site)
    (room / "mkdocs.yml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-q", "--strict", "-f", str(room / "mkdocs.yml")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return pages, site


def page(built, name):
    return (built[0] / f"{name}.md").read_text(encoding="utf-8")


def test_every_page_is_there_and_can_be_reached(built):
    pages, site = built
    made = {path.relative_to(pages).with_suffix("").as_posix() for path in pages.rglob("*.md")}
    html = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")} - {"404"}
    nav = {Path(name).with_suffix("").as_posix() for name in docs.named(docs.configuration(pages, site)["nav"])}

    written = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").splitlines()

    assert made == html == nav
    assert sorted(name for name in nav if sum(line.endswith(f" {name}.md") for line in written) > 1) == []
    assert {"index", "ru", "architecture", "howto/ci", "howto/teams", "tutorial/01_quickstart"} <= made


def test_nothing_on_the_site_is_loaded_from_elsewhere(built):
    loaded = {
        (path.name, found[0][:200])
        for path in built[1].rglob("*")
        if path.suffix in (".html", ".css", ".svg")
        for found in LOADS.finditer(path.read_text(encoding="utf-8"))
    }

    assert loaded == set()


def test_every_link_within_the_site_leads_somewhere(built):
    dead = []
    for path in built[1].rglob("*.html"):
        if path.name == "404.html":  # it may be shown for any address
            continue
        text = re.sub(r"<pre.*?</pre>|<script.*?</script>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in re.findall(r'(?:href|src|poster)="([^"#][^"]*)"', text):
            name = unquote(link.partition("#")[0].partition("?")[0])
            if not re.match(r"[a-z]+:", name) and not (path.parent / name).exists():
                dead.append((path.name, name))

    assert dead == []


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js">',
        '<link rel="preconnect" href="https://fonts.gstatic.com">',
        "<img alt='a' src='//example.org/a.png'>",
        "@font-face{src:url(https://example.org/a.woff2)}",
        '@import "https://example.org/a.css"',
    ],
)
def test_what_would_be_loaded_from_elsewhere_is_seen(text):
    assert LOADS.search(text)


@pytest.mark.parametrize("text", ['<a href="https://example.org">', '<img src="images/a.png">', "url(data:image/png;)"])
def test_a_link_that_a_person_follows_is_not_meant(text):
    assert not LOADS.search(text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_page_of_a_notebook_has_its_cells_and_their_outputs(path, built):
    notebook = nbformat.read(path, as_version=4)
    text = page(built, f"tutorial/{path.stem}")
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    outputs = [out for cell in cells for out in cell.outputs if out.get("data", out) != {"text/plain": ""}]
    pictures = [out for out in outputs if {"image/png", "image/jpeg"} & set(out.get("data", {}))]

    assert [cell.source for cell in cells if cell.source not in text] == []
    assert text.count('<div class="output"') == len(outputs)
    assert text.count("<img src=") >= len(pictures)
    assert "data:image" not in text
    kept = re.findall(r'<img[^>]* src="([^"]+)"|<img src="([^"]+)"', text)
    assert [name for pair in kept for name in pair if name and not (built[0] / "tutorial" / name).is_file()] == []


def test_every_public_name_is_in_a_reference(built):
    python, errors = page(built, "reference/python"), page(built, "reference/errors")
    grouped = [name for names in docs.GROUPS.values() for name in names]

    assert [name for name in dir(el) if f"### `{name}`" not in python and f"`{name}`" not in errors] == []
    assert len(grouped) == len(set(grouped))


def test_every_option_verb_and_category_is_in_the_reference_of_the_magic(built):
    text = page(built, "reference/magics")
    options = {flag for row in catalog().categories.values() for option in options_of(row) for flag in option.shown}
    verbs = {flag for verb in VERBS.values() for option in verb.options for flag in option.shown}
    wanted = options | verbs | {flag for option in COMMON for flag in option.shown}

    assert [flag for flag in sorted(wanted) if f"`{flag}`" not in text] == []
    assert [name for name in catalog().categories if f"### `%%elumenta {name} " not in text] == []
    assert [verb.usage for verb in VERBS.values() if f"### `%elumenta {verb.usage}`" not in text] == []


def test_every_model_plan_and_package_is_in_the_reference(built):
    text = page(built, "reference/models")

    assert [slug for slug in catalog().models if f"`{slug}`" not in text] == []
    assert [row.name for row in (*catalog().plans, *catalog().packages) if f"| {row.name} |" not in text] == []


def test_every_error_says_what_it_is_and_what_it_tells_of_money(built):
    text = page(built, "reference/errors")
    kinds = [kind for name in _errors.__all__ if isinstance(kind := getattr(_errors, name), type)]
    rows = [kind for kind in kinds if issubclass(kind, el.ElumentaError) and kind is not el.ElumentaError]

    assert len(rows) > 20
    for kind in rows:
        line = next(line for line in text.splitlines() if line.startswith(f"| `{kind.__name__}` |"))
        assert f"| {kind._spent_by_default} |" in line
        assert len(line.split("|")[4].strip()) > 10


def test_every_setting_is_explained(built):
    text = page(built, "reference/settings")

    assert set(docs.SETTINGS) == set(_SPECS)
    assert [spec.env for spec in _SPECS.values() if spec.env not in text] == []


def test_a_link_that_leaves_the_pages_becomes_words():
    text = docs.copied(
        "see [the test](../tests/house/test_layers.py), [chaos](chaos.md), [a](https://a.example)", ROOT / "docs"
    )

    assert text == "see the test, [chaos](chaos.md), [a](https://a.example)"


def test_a_page_that_the_navigation_does_not_name_is_put_into_it(tmp_path):
    (tmp_path / "howto").mkdir()
    for name in ("howto/new.md", "newer.md"):
        (tmp_path / name).write_text("# New\n")
    nav = docs.configuration(tmp_path, tmp_path / "site")["nav"]
    sections = {name: pages for each in nav for name, pages in each.items()}

    assert sections["How to"][-1] == "howto/new.md"
    assert sections["How it is made"][-1] == "newer.md"


@pytest.fixture(scope="module")
def chromium(built):
    """A browser that says what it was asked to load."""
    browsers = ROOT / "tests" / "browser"
    spec = importlib.util.spec_from_file_location("site_provision", browsers / "provision.py")
    provision = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(provision)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=provision.provision(), args=list(provision.FLAGS))
        opened = browser.new_page()
        opened.set_default_timeout(60_000)  # two cores may be busy with other tests
        opened.asked = []
        opened.on("request", lambda request: opened.asked.append(request.url))
        opened.site = f"file://{built[1]}"
        yield opened
        browser.close()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("words", "found"),
    [("idempotency", "architecture.html"), ("песочница", "ru.html"), ("papermill", "howto/papermill.html")],
)
def test_search_finds_from_the_disk_in_both_languages(words, found, chromium):
    chromium.goto(f"{chromium.site}/index.html")
    chromium.locator("input.md-search__input").click()
    chromium.locator("input.md-search__input").fill(words)
    chromium.locator("input.md-search__input").dispatch_event("keyup")
    chromium.wait_for_selector(f".md-search-result__link[href*='{found}']", timeout=60_000)

    assert [url for url in chromium.asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 400)])
def test_every_page_opens_from_the_disk_and_fits_with_whole_pictures(scheme, width, built, chromium):
    said = []

    def heard(error):
        said.append(str(error))

    chromium.on("pageerror", heard)
    chromium.emulate_media(color_scheme=scheme)
    chromium.set_viewport_size({"width": width, "height": 900})
    wide, broken, plain = [], [], []
    for path in sorted(built[1].rglob("*.html")):
        name = path.relative_to(built[1]).as_posix()
        if name == "404.html":
            continue
        chromium.goto(path.as_uri())
        facts = chromium.evaluate(
            """async () => {
                const shown = [...document.querySelectorAll('.md-content img')];
                shown.forEach(each => { each.loading = 'eager' });
                await Promise.all(shown.filter(each => !each.complete).map(each => new Promise(done => { each.onload = each.onerror = done })));
                return {
                    wide: document.documentElement.scrollWidth - window.innerWidth,
                    broken: shown.filter(each => !each.naturalWidth).map(each => each.src),
                    scheme: document.body.dataset.mdColorScheme,
                }}"""
        )
        wide += [name] if facts["wide"] > 0 else []
        broken += facts["broken"]
        plain += [name] if facts["scheme"] != {"light": "default", "dark": "slate"}[scheme] else []
    chromium.remove_listener("pageerror", heard)

    assert (wide, broken, plain, said) == ([], [], [], [])
    assert [url for url in chromium.asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []
