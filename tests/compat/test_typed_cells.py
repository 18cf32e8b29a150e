"""A terminal asks after every Enter whether the cell is complete: a cell magic is, when its body ends in a blank line."""

import pytest
from IPython.core.interactiveshell import InteractiveShell


@pytest.fixture
def complete():
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "elumenta_nb")
    yield lambda text: shell.check_complete(text)[0]
    shell.run_line_magic("unload_ext", "elumenta_nb")
    shell.history_manager.end_session()


@pytest.mark.parametrize("line", ["%%elumenta text gpt-5", "%%elumenta stt --file x.mp3", "%%elumenta"])
def test_the_first_line_opens_the_body(complete, line):
    assert complete(line) == "incomplete"


def test_a_blank_line_ends_it(complete):
    assert complete("%%elumenta text gpt-5\na door\n\n") == "complete"
    assert complete("%%elumenta stt --file x.mp3\n\n") == "complete"


def test_a_line_of_ours_is_complete_at_once(complete):
    assert complete("%elumenta balance") == "complete"
