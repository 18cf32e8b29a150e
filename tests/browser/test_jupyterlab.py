"""The notebooks as a person sees them: JupyterLab in a real Chromium, run by its menu, looked at by its page."""

import shutil
from pathlib import Path

import pytest
from lab import THEMES, browser_page, open_notebook, run_all, running

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.kernel,
    pytest.mark.slow,
    pytest.mark.timeout(420),
    pytest.mark.xdist_group("browser"),
    # Playwright's own event loop and pipes close after the test
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

PLAYS = """async (media) => {
    const can = media.tagName !== 'VIDEO' || media.canPlayType('video/mp4; codecs="avc1.42E01E"');
    if (!can) return 'this Chromium has no H.264: install Debian\\'s chromium or Google Chrome';
    media.muted = true;
    try { await media.play(); } catch (error) { return 'play: ' + error.message + ' ' + (media.error?.message ?? ''); }
    const start = media.currentTime;
    for (let i = 0; i < 60; i++) {
        await new Promise(done => setTimeout(done, 100));
        if (media.readyState >= 2 && (media.currentTime > start + 0.2 || media.ended)) { media.pause(); return 'plays'; }
    }
    return `stands still at ${media.currentTime}, readyState ${media.readyState}`;
}"""


@pytest.fixture
def lab(tmp_path):
    with running(tmp_path / "lab") as server:
        yield server


def outputs(page) -> str:
    return "\n".join(page.locator(".jp-OutputArea-output").all_inner_texts())


def shoot(page, name: str) -> None:
    """The whole notebook as one picture: the page is made as tall as its content."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    size = page.viewport_size
    page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0")
    page.set_viewport_size({"width": size["width"], "height": 9000})
    page.wait_for_timeout(600)
    end = page.locator(".jp-Cell").last.bounding_box()
    height = min(9000, end["y"] + end["height"] + 40)
    page.screenshot(path=SHOTS / f"{name}.png", clip={"x": 0, "y": 0, "width": size["width"], "height": height})
    page.set_viewport_size(size)


def no_errors(page) -> None:
    failed = page.locator(
        ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr'], .jp-RenderedText[data-mime-type='application/vnd.jupyter.error']"
    )
    assert failed.all_inner_texts() == []


@pytest.mark.parametrize("theme", THEMES)
def test_the_quickstart_shows_a_picture_a_playing_film_receipts_and_what_was_spent(lab, theme):
    lab.theme(theme)
    with browser_page() as page:
        open_notebook(page, lab, "01_quickstart.ipynb")
        run_all(page)
        shoot(page, f"01_quickstart-{theme}")

        no_errors(page)
        widths = page.locator(".jp-OutputArea-output img").evaluate_all("all => all.map(one => one.naturalWidth)")
        films = page.locator(".jp-OutputArea-output video")
        played = [films.nth(i).evaluate(PLAYS) for i in range(films.count())]
        said = outputs(page)
        headings = page.locator(".jp-OutputArea-output table thead").all_inner_texts()

    assert widths
    assert min(widths) > 0
    assert played
    assert set(played) == {"plays"}
    assert said.count("SANDBOX ·") >= 3
    assert said.count("balance") >= 3
    assert any("tokens" in heading for heading in headings)


def test_the_quickstart_opened_again_without_a_kernel_still_shows_everything(lab):
    """What a colleague sees who opens the file: saved outputs, untrusted, nothing run."""
    lab.theme("light")
    with browser_page() as page:
        open_notebook(page, lab, "01_quickstart.ipynb")
        run_all(page)
        page.locator("#jp-MainMenu").get_by_text("File", exact=True).click()
        page.get_by_text("Save Notebook", exact=True).click()
        page.wait_for_timeout(1500)
    copy = lab.notebooks / "colleague.ipynb"
    shutil.copy(lab.notebooks / "01_quickstart.ipynb", copy)  # a copy has no signature: it is not trusted
    with browser_page() as page:
        open_notebook(page, lab, copy.name)
        page.wait_for_timeout(1500)
        shoot(page, "01_quickstart-untrusted")
        widths = page.locator(".jp-OutputArea-output img").evaluate_all("all => all.map(one => one.naturalWidth)")
        films = page.locator(".jp-OutputArea-output video")
        ready = films.evaluate_all(
            "all => all.map(one => Boolean(one.getAttribute('src') && one.getAttribute('poster')))"
        )
        said = outputs(page)

    assert widths
    assert min(widths) > 0
    assert ready
    assert all(ready)
    assert "balance" in said


def test_speech_and_music_play(lab):
    lab.theme("light")
    with browser_page() as page:
        open_notebook(page, lab, "03_speech_and_music.ipynb")
        run_all(page)
        shoot(page, "03_speech_and_music-light")
        no_errors(page)
        sounds = page.locator(".jp-OutputArea-output audio")
        played = [sounds.nth(i).evaluate(PLAYS) for i in range(sounds.count())]

    assert len(played) >= 2
    assert set(played) == {"plays"}
