"""The environment each test starts in."""

import os
from pathlib import Path

from hypothesis import given, strategies as st

LEFT = []


def test_nothing_of_the_person_s_own_settings_is_seen():
    ours = {name for name in os.environ if name.startswith("ELUMENTA_")} - {"ELUMENTA_TEST_CHROMIUM"}

    assert ours == {"ELUMENTA_HOME", "ELUMENTA_LANG"}
    assert not [name for name in os.environ if name.lower().endswith("_proxy")]


def test_the_folder_is_empty_and_not_the_project_s():
    here = Path.cwd()
    LEFT.append(here)

    assert list(here.iterdir()) == []
    assert not here.is_relative_to(Path(__file__).parents[2])


def test_the_home_is_inside_the_folder_of_this_test_only():
    assert Path(os.environ["ELUMENTA_HOME"]).parent == Path.cwd()
    assert Path.cwd() not in LEFT


@given(st.integers())
def test_hypothesis_accepts_the_room(number):
    assert number - number == 0
