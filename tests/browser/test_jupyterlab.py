"""The notebooks as a person sees them: run by the menu in JupyterLab and in Notebook 7, looked at by their pages."""

import pytest
from fronts import (
    NOTEBOOKS,
    PLAYS,
    WIDTHS,
    drawn,
    new_page,
    open_notebook,
    outputs,
    run_all,
    save,
    shoot_notebook,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.kernel,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("browser"),
    # Playwright's own event loop and pipes close after the test
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def no_errors(page) -> None:
    failed = page.locator(
        ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr'], .jp-RenderedText[data-mime-type='application/vnd.jupyter.error']"
    )
    assert failed.all_inner_texts() == []


def plays(page, what: str) -> list[str]:
    media = page.locator(f".jp-OutputArea-output {what}")
    return [media.nth(i).evaluate(PLAYS) for i in range(media.count())]


@pytest.mark.parametrize(("front", "theme"), [("lab", "dark"), ("notebook7", "light")])
def test_the_quickstart_shows_a_picture_a_playing_film_receipts_and_what_was_spent(jupyter, browser, front, theme):
    """And what a colleague sees who opens the file: saved outputs, untrusted, nothing run."""
    jupyter.theme(theme)
    path = jupyter.place(f"quickstart-{front}", NOTEBOOKS / "01_quickstart.ipynb")
    with new_page(browser) as (page, heard):
        open_notebook(page, jupyter, front, path)
        heard.begin()
        run_all(page)
        shoot_notebook(page, f"01_quickstart-{front}-{theme}")
        no_errors(page)
        widths = page.locator(".jp-OutputArea-output img").evaluate_all(WIDTHS)
        played = plays(page, "video")
        said = outputs(page)
        headings = page.locator(".jp-OutputArea-output table thead").all_inner_texts()
        save(page)
    jupyter.shut_down_kernels()
    with new_page(browser) as (page, _heard):
        open_notebook(page, jupyter, front, jupyter.copy(path))
        page.locator(".jp-OutputArea-output video").first.wait_for()
        drawn(page)
        shoot_notebook(page, f"01_quickstart-{front}-untrusted")
        again = page.locator(".jp-OutputArea-output img").evaluate_all(WIDTHS)
        films = page.locator(".jp-OutputArea-output video")
        ready = films.evaluate_all(
            "all => all.map(one => Boolean(one.getAttribute('src') && one.getAttribute('poster')))"
        )
        saved = outputs(page)
    jupyter.shut_down_kernels()
    jupyter.theme("light")

    assert widths
    assert min(widths) > 0
    assert played
    assert set(played) == {"plays"}
    assert said.count("SANDBOX ·") >= 3
    assert said.count("balance") >= 3
    assert any("tokens" in heading for heading in headings)
    assert heard.errors == []
    assert heard.strangers == []
    assert again
    assert min(again) > 0
    assert ready
    assert all(ready)
    assert "balance" in saved


def test_speech_and_music_play(jupyter, browser):
    path = jupyter.place("speech", NOTEBOOKS / "03_speech_and_music.ipynb")
    with new_page(browser) as (page, _heard):
        open_notebook(page, jupyter, "lab", path)
        run_all(page)
        shoot_notebook(page, "03_speech_and_music-light")
        no_errors(page)
        played = plays(page, "audio")
    jupyter.shut_down_kernels()

    assert len(played) >= 2
    assert set(played) == {"plays"}
