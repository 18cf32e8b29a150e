"""`%elumenta sandbox on` is seen wherever it stands in a cell, and once."""

import pytest

from elumenta_nb._magics import ElumentaMagics

IS_ON = "The sandbox is on: nothing is charged"


@pytest.fixture
def real(shell):
    """The shell with the session of the environment."""
    shell.magics_manager.registry[ElumentaMagics.__name__].detach()
    magics = ElumentaMagics(shell)
    magics.attach()
    yield shell
    magics.detach()


def said(shell):
    return [text for text in shell.display_pub.texts if IS_ON in text]


def test_above_other_lines_it_is_shown(real):
    real.run("%elumenta sandbox on\n%elumenta budget 150")
    assert len(said(real)) == 1


@pytest.mark.parametrize("below", ["", "\n\n# a word about it\n"])
def test_as_the_last_line_it_is_the_value_of_the_cell_and_not_shown_twice(real, below):
    value = real.run(f"x = 1\n%elumenta sandbox on{below}")
    assert IS_ON in str(value)
    assert said(real) == []


def test_kept_in_a_variable_it_is_not_shown(real):
    real.run("told = %elumenta sandbox on\n1")
    assert said(real) == []
    assert IS_ON in str(real.user_ns["told"])
