"""Panels as a person uses them, in JupyterLab and in Notebook 7: mouse and keyboard, light and dark, wide and narrow.

One notebook with two panels is opened in each front end; every test chooses anew what it needs and clicks.
"""

import re

import nbformat
import pytest
from fronts import INDICATOR, PLAYS, WIDTHS, drawn, menu, new_page, open_notebook, run_all, run_cell, save, shoot
from playwright.sync_api import TimeoutError as TooLate

OPEN = """%load_ext elumenta_nb
import os, time
import elumenta_nb as el
# as slow as the real ones, tenfold: there is something to see and to stop
began = time.time()
# a film is at work until the test says so: this clock stands still, and each byte of the file is an hour
server = el.sandbox.serve(time_scale=0.1, clock=lambda: began + 3600 * os.path.getsize('hours'))
el.configure(api_key=server.api_key, base_url=server.url)
el.budget(200)"""
NAP = """while os.path.exists('asleep'):
    time.sleep(0.05)"""
CELLS = (OPEN, "one = el.panel('text', model='gpt-5')\none", "two = el.panel('image')\ntwo", NAP)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.kernel,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("browser"),
    # Playwright's own event loop and pipes close after the test
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

# The time from the click until the page shows that it was taken, measured in the page.
CLICK = """async (button) => {
    const panel = button.closest('.elumenta-panel');
    const start = performance.now();
    button.click();
    while (!panel.querySelector('progress') && performance.now() - start < 5000) {
        await new Promise(done => setTimeout(done, 2));
    }
    return performance.now() - start;
}"""
# Writes down how long the growing text was each time it changed.
WATCH = """panel => {
    window.grown = [];
    new MutationObserver(() => {
        const size = panel.querySelector('.elumenta-growing')?.textContent.length ?? 0;
        if (size && size !== window.grown.at(-1)) window.grown.push(size);
    }).observe(panel, {subtree: true, childList: true, characterData: true});
}"""
# What the panel says beside its buttons while the kernel is busy with a cell.
WAITS = """panel => {
    const beside = getComputedStyle(panel.querySelector('.elumenta-buttons'), '::after');
    return beside.visibility === 'visible' ? beside.content : '';
}"""
NAMELESS = """panel => [...panel.querySelectorAll('input, select, textarea, button, [role=slider], [role=tab], [tabindex="0"]')]
    .filter(one => one.offsetParent && !one.labels?.length && !one.ariaLabel && !one.getAttribute('aria-labelledby')
        && !one.textContent.trim())
    .map(one => one.outerHTML.slice(0, 160))"""
# The contrast of each text of a panel with what lies behind it, by WCAG 2; the least is given with its words.
CONTRAST = """panel => {
    const rgb = text => (text.match(/[\\d.]+/g) ?? []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    const behind = one => { for (; one; one = one.parentElement) {
        const [r, g, b, a = 1] = rgb(getComputedStyle(one).backgroundColor); if (a === 1) return [r, g, b]; }
        return [255, 255, 255]; };
    const found = [...panel.querySelectorAll('*')].filter(one => one.offsetParent && !one.disabled
            && [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()))
        .map(one => { const [a, b] = [light(rgb(getComputedStyle(one).color)), light(behind(one))];
            return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), one.textContent.trim().slice(0, 40), one.className]; });
    return found.sort((a, b) => a[0] - b[0])[0];
}"""


class Desk:
    """The opened notebook: its page, what it complained of, and its two panels."""

    def __init__(self, page, heard, front, jupyter, path):
        self.page, self.heard, self.front, self.jupyter, self.path = page, heard, front, jupyter, path
        self.one, self.two = (page.locator(".elumenta-panel").nth(at) for at in (0, 1))
        self.folder = (jupyter.notebooks / path).parent

    def shoot(self, name, of=None):
        shoot(self.page, f"panel-{self.front}-{name}", of)

    def choose(self, panel, category: str, model: str, prompt: str = "", price: str = "", **options: str) -> None:
        """Choose it all, and wait for the price. A panel keeps what was chosen before: name what must not be kept."""
        panel.get_by_role("tab").first.click()
        panel.get_by_label("Category").first.select_option(category)
        models = panel.get_by_label("Model", exact=True)
        option = models.locator("option").filter(has_text=re.compile(rf"^{re.escape(model)}\s")).first
        option.wait_for(state="attached")
        models.select_option(option.text_content())
        for name, value in options.items():
            panel.get_by_label(name).select_option(value)
        if prompt:
            panel.get_by_label("Prompt", exact=True).fill(prompt)
        if price:
            self.priced(panel, price)

    def priced(self, panel, price: str) -> None:
        shown = panel.locator(".elumenta-price")
        try:
            shown.filter(has_text=re.compile(f"^{price}$")).wait_for()
        except TooLate:
            self.shoot("wrong-price")
            raise AssertionError(f"{price} was not shown, but: {panel.inner_text()}") from None

    def button(self, panel, name: str = "Generate"):
        """A button that is about to be clicked: what the panel said before is marked, so that `done` waits for more."""
        panel.evaluate("panel => panel.querySelectorAll('.elumenta-notice').forEach(one => one.dataset.old = 1)")
        return panel.get_by_role("button", name=name, exact=True)

    def generate(self, panel) -> None:
        self.button(panel).click()

    def done(self, panel, kind: str = "good") -> str:
        """What the panel says when it has ended."""
        notice = panel.locator(f".elumenta-notice.elumenta-{kind}:not([data-old]):visible").first
        notice.wait_for(timeout=60_000)
        return notice.inner_text()

    def an_hour_passes(self) -> None:
        """At the server: what was at work there is complete."""
        with (self.folder / "hours").open("a") as hours:
            hours.write("+")

    def results(self, panel):
        return panel.locator(".elumenta-gallery > *")


@pytest.fixture(scope="module")
def desk(front, jupyter, browser):
    jupyter.theme("light")
    path = jupyter.place(f"panels-{front}", CELLS)
    (jupyter.notebooks / path).with_name("hours").touch()
    with new_page(browser, width=1280, height=3600) as (page, heard):
        open_notebook(page, jupyter, front, path)
        heard.begin()
        run_all(page)
        page.locator(".elumenta-price").nth(1).wait_for()
        yield Desk(page, heard, front, jupyter, path)
    jupyter.shut_down_kernels()


@pytest.fixture(autouse=True)
def _no_complaint(desk):
    """Not one error in the console, of ours or of anybody, from the first cell on; and nobody asked elsewhere."""
    yield
    assert desk.heard.errors == []
    assert desk.heard.strangers == []


def test_a_text_is_seen_while_it_grows_and_the_click_at_once(desk):
    desk.choose(desk.one, "Text", "gpt-5", "Why is the sea salt? Three short paragraphs.", "2 tokens")
    desk.one.evaluate(WATCH)
    took = desk.button(desk.one).evaluate(CLICK)
    desk.one.locator(".elumenta-growing").wait_for()
    desk.shoot("1-text-grows", desk.one)
    said = desk.done(desk.one)
    grown = desk.page.evaluate("window.grown")

    assert "2 tokens" in said
    assert len(grown) >= 3
    assert grown == sorted(grown)
    assert took < 500, "P8 is 100 ms; two cores are shared here"


def test_a_picture_is_made_for_the_price_that_was_shown(desk):
    desk.choose(desk.two, "Images", "dall-e-3", "A lighthouse at dawn, watercolour", "9 tokens", quality="hd")
    desk.generate(desk.two)
    said = desk.done(desk.two)
    desk.two.locator(".elumenta-gallery img").first.wait_for()

    assert "9 tokens" in said
    assert min(desk.two.locator(".elumenta-gallery img").evaluate_all(WIDTHS)) > 0
    assert "%%elumenta image dall-e-3 --quality hd" in desk.two.get_by_label("the same as a cell").inner_text()
    desk.shoot("2-picture", desk.two)


def test_a_film_is_left_found_again_and_plays(desk):
    desk.choose(desk.two, "Video", "luma-ray2-flash", "The sea at night", "26 tokens")
    desk.generate(desk.two)
    stop = desk.two.get_by_role("button", name="Stop waiting")
    stop.wait_for()
    desk.two.get_by_text("will still be charged").first.wait_for()
    desk.shoot("3-film-waits", desk.two)
    stop.click()
    assert "It goes on: 26 tokens will still be charged" in desk.done(desk.two, "warn")

    desk.an_hour_passes()
    desk.two.get_by_role("tab", name="Unfinished").click()
    desk.two.get_by_text("1 unfinished call").wait_for()
    desk.two.get_by_role("button", name="Recover", exact=True).click()
    film = desk.two.locator(".elumenta-gallery video").first
    film.wait_for(timeout=60_000)
    assert film.evaluate(PLAYS) == "plays"
    desk.shoot("4-film-recovered", desk.two)
    desk.two.get_by_role("tab", name="Models").click()
    desk.two.get_by_label("at most").fill("30")
    desk.page.keyboard.press("Tab")
    desk.shoot("5-models", desk.two)


def test_errors_are_seen_in_the_panel_and_a_dear_price_takes_a_second_yes(desk):
    desk.choose(desk.one, "Video", "veo-3.1", "A city from above")
    desk.one.get_by_label("audio").check()
    desk.priced(desk.one, "334 tokens")
    desk.generate(desk.one)
    desk.one.get_by_role("button", name="Yes, spend 334 tokens").wait_for()
    desk.shoot("6-dear", desk.one)
    desk.button(desk.one, "Yes, spend 334 tokens").click()
    refused = desk.done(desk.one, "bad")
    desk.shoot("7-over-budget", desk.one)

    desk.choose(desk.one, "Text", "gpt-5", price="2 tokens")
    desk.one.get_by_label("Prompt", exact=True).fill("")
    desk.generate(desk.one)
    desk.one.get_by_text("needs a prompt").wait_for()

    assert "BudgetExceeded" in refused
    assert "Nothing was charged" in refused
    assert desk.one.get_by_role("alert").count() == 1


def test_two_panels_buy_at_the_same_time_and_a_second_click_buys_nothing(desk):
    desk.choose(desk.one, "Text", "gpt-5", "Why is the sky blue?", "2 tokens")
    desk.choose(desk.two, "Video", "kling-v2.1", "A small boat", "26 tokens")
    before = [desk.results(panel).count() for panel in (desk.one, desk.two)]
    desk.button(desk.two).dblclick()
    desk.two.locator("progress").wait_for()
    desk.button(desk.one).dblclick()
    text = desk.done(desk.one)
    film_runs = desk.two.locator("progress").count()
    desk.shoot("8-two-panels")
    desk.an_hour_passes()
    film = desk.done(desk.two)
    for panel, n in zip((desk.one, desk.two), before, strict=True):
        desk.results(panel).nth(n).wait_for(state="attached")
    desk.page.wait_for_timeout(1000)

    assert film_runs == 1
    assert ["2 tokens" in text, "26 tokens" in film] == [True, True]
    assert [desk.results(panel).count() for panel in (desk.one, desk.two)] == [n + 1 for n in before]


def test_while_a_cell_runs_the_panel_says_that_a_click_may_wait_and_of_three_one_buys(desk):
    """A first click waits for the cell; then the front end has a subshell, and the panel goes on beside a cell."""
    desk.choose(desk.one, "Text", "gpt-5", "Why is grass green?", "2 tokens")
    before = desk.results(desk.one).count()
    desk.page.wait_for_selector(f"{INDICATOR}[data-status='idle']")
    said = desk.one.evaluate(WAITS)
    asleep = desk.folder / "asleep"
    for turn in range(2):
        asleep.touch()
        try:
            run_cell(desk.page, CELLS.index(NAP))
            desk.page.wait_for_function(f"() => ({WAITS})(document.querySelector('.elumenta-panel')) !== ''")
            told = desk.one.evaluate(WAITS)
            desk.button(desk.one).evaluate("one => [0, 1, 2].map(_ => one.click())")
            if turn:
                desk.results(desk.one).nth(before + 1).wait_for(state="attached")
            desk.shoot("9-busy-kernel", desk.one)
            status = desk.page.locator(INDICATOR).get_attribute("data-status")
        finally:
            asleep.unlink()
        desk.page.wait_for_selector(f"{INDICATOR}[data-status='idle']")
        desk.results(desk.one).nth(before + turn).wait_for(state="attached")
        desk.page.wait_for_timeout(900)  # what a click too many would buy

    assert said == ""
    assert "a click may wait until it has ended" in told
    assert status == "busy", "the second was bought and shown while the cell ran"
    assert desk.results(desk.one).count() == before + 2
    assert desk.one.evaluate(WAITS) == ""


def test_everything_has_a_name_and_a_narrow_panel_fits_and_is_used_by_keyboard_alone(desk):
    page, panel = desk.page, desk.two
    desk.choose(panel, "Images", "dall-e-3", price="5 tokens", quality="standard")
    assert desk.one.evaluate(NAMELESS) + panel.evaluate(NAMELESS) == []
    size = page.viewport_size
    if desk.front == "lab":
        page.keyboard.press("Control+b")  # the file browser away
    page.set_viewport_size({"width": 560, "height": 3600})
    page.wait_for_function("() => document.querySelectorAll('.elumenta-panel')[1].clientWidth < 560")
    drawn(page)
    wide = panel.evaluate("panel => [panel.scrollWidth, panel.clientWidth]")
    panel.get_by_label("Prompt", exact=True).fill("")
    panel.get_by_label("Prompt", exact=True).click()
    page.keyboard.type("a cat")
    outlines = {}
    for _ in range(30):
        page.keyboard.press("Tab")
        focused, outline = page.evaluate(
            "[document.activeElement.textContent, getComputedStyle(document.activeElement).outlineStyle]"
        )
        outlines[page.evaluate("document.activeElement.outerHTML.slice(0, 80)")] = outline
        if focused == "Generate":
            break
    desk.shoot("10-narrow", panel)
    desk.button(panel)
    page.keyboard.press("Enter")
    bought = desk.done(panel)
    page.set_viewport_size(size)
    if desk.front == "lab":
        page.keyboard.press("Control+b")

    assert focused == "Generate"
    assert "Done · 5 tokens" in bought
    assert {name: outline for name, outline in outlines.items() if outline != "solid"} == {}
    assert len(outlines) >= 9
    assert wide[0] <= wide[1] + 1


def test_in_the_dark_every_word_can_be_read(desk):
    desk.choose(desk.one, "Text", "gpt-5", price="2 tokens")
    light = desk.one.evaluate(CONTRAST)
    menu(desk.page, "Settings", "Theme", "JupyterLab Dark")
    desk.page.wait_for_selector("body[data-jp-theme-light=false]", state="attached")
    drawn(desk.page)
    dark = [panel.evaluate(CONTRAST) for panel in (desk.one, desk.two)]
    desk.shoot("11-dark-one", desk.one)
    desk.shoot("12-dark-two", desk.two)
    menu(desk.page, "Settings", "Theme", "JupyterLab Light")
    desk.page.wait_for_selector("body[data-jp-theme-light=true]", state="attached")

    for least in (light, *dark):
        assert least[0] >= 4.5, least


def test_a_notebook_opened_without_its_kernel_shows_the_last_state(desk, browser):
    desk.choose(desk.two, "Images", "dall-e-3", "A small boat", "9 tokens", quality="hd")
    desk.generate(desk.two)
    assert "Done · 9 tokens" in desk.done(desk.two)
    assert desk.page.locator(".elumenta-still:visible").count() == 0
    desk.page.locator(".elumenta-still", has_text="Done · 9 tokens").wait_for(state="attached")  # it follows, unseen
    drawn(desk.page)
    save(desk.page)
    copy = desk.jupyter.copy(desk.path)
    saved = nbformat.read(desk.jupyter.notebooks / copy, as_version=4)
    desk.jupyter.shut_down_kernels()
    seen = {}
    for path in (copy, desk.path) if desk.front == "lab" else (copy,):
        with new_page(browser, width=1280, height=1700) as (page, _heard):
            open_notebook(page, desk.jupyter, desk.front, path)
            page.locator(".elumenta-still").nth(1).wait_for()
            drawn(page)
            seen[path] = "\n".join(page.locator(".jp-OutputArea-output:visible").all_inner_texts())
            pictures = page.locator(".jp-OutputArea-output img").evaluate_all(WIDTHS)
            shoot(page, f"panel-{desk.front}-13-no-kernel-{'untrusted' if path == copy else 'trusted'}")
            assert pictures
            assert min(pictures) > 0

    for everything in seen.values():
        assert everything.count("The panel as it was") == 2
        assert "Done · 9 tokens" in everything
        assert "model not found" not in everything
    assert sum(len(str(out)) for cell in saved.cells for out in cell.outputs) < 400 * 1024
