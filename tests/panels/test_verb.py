"""`%elumenta panel` in a shell: the panel of the loaded extension, and its cell."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from worlds import until

import elumenta_nb as el
from elumenta_nb._magics import ElumentaMagics
from elumenta_nb._panels import JobsPanel, Panel


class Shell(InteractiveShell):
    def showtraceback(self, *_args: Any, **_kwargs: Any) -> None:
        pass


@pytest.fixture
def shell(desk) -> Iterator[Shell]:
    InteractiveShell.clear_instance()
    config = Config()
    config.HistoryManager.enabled = False
    hook = sys.displayhook
    shell = Shell(config=config)
    magics = ElumentaMagics(shell, session=lambda: desk.session)
    magics.attach()
    yield shell
    magics.detach()
    sys.displayhook = hook
    InteractiveShell.clear_instance()


def test_the_verb_makes_a_panel_that_works_with_the_names_of_the_notebook(desk, shell, capsys):
    ran = shell.run_cell("%elumenta panel image")
    ran.raise_error()
    panel = ran.result

    assert isinstance(panel, Panel)
    assert panel.form.category.value == "image"
    panel.form.name.value = "cover"
    panel.form.prompt.value = "a cat"
    until(lambda: panel.line.price is not None and panel.line.price.exact)
    desk.buy(panel)
    assert shell.user_ns["cover"] is panel.results[0]
    assert "photon-flash" in capsys.readouterr().out, "a terminal shows the panel as text"


def test_the_last_panel_becomes_the_next_cell_and_that_cell_runs(desk, shell):
    panel = shell.run_cell("%elumenta panel text").result
    panel.form.prompt.value = "why is the sea salt"
    shell.run_cell("%elumenta panel --cell").raise_error()

    assert shell.rl_next_input == panel.source
    shell.run_cell(shell.rl_next_input).raise_error()
    assert desk.charged == 1


def test_a_wrong_category_is_refused_with_the_right_ones(shell):
    ran = shell.run_cell("%elumenta panel imagery")

    with pytest.raises(el.BadParam) as caught:
        ran.raise_error()
    assert "image-tools" in caught.value.hint


def test_in_a_script_both_panels_can_be_made_and_read():
    panel, jobs = el.panel(), el.jobs_panel()

    assert repr(panel).startswith("<Panel Elumenta")
    assert isinstance(jobs, JobsPanel)
    until(lambda: "NoKey" in panel.status.value)
    until(lambda: "NoKey" in jobs.jobs.status.value)
