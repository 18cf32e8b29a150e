"""A key typed into a cell is refused before the cell runs, and leaves the kernel's memory."""

import linecache

import pytest

from elumenta_nb._errors import AuthFailed

KEY = "nb_live_" + "a1b2c3d4" * 5


@pytest.mark.parametrize(
    "cell",
    [
        f'import os\nran = True\nos.environ["ELUMENTA_API_KEY"] = "{KEY}"',
        f"%env ELUMENTA_API_KEY={KEY}",
        f"%elumenta login {KEY}",
        f"%%elumenta text gpt-5\nmy key is {KEY}",
        f"ran = True  # {KEY}",
        f"key = {KEY}",
        f"%%bash\ncurl -H 'Authorization: Bearer {KEY}'",
    ],
)
def test_a_key_is_refused_before_anything_runs(shell, refused, session, cell):
    error = refused(cell)

    assert isinstance(error, AuthFailed)
    assert "Delete it from the cell" in error.hint
    assert "%elumenta login" in error.hint
    assert KEY not in str(error)
    assert "ran" not in shell.user_ns
    assert session.asked == []


def test_the_key_leaves_history_variables_and_source_cache(shell, refused):
    refused(f'x = "{KEY}"')
    shell.run("1 + 1")

    history = shell.history_manager
    held = [
        *history.input_hist_raw,
        *history.input_hist_parsed,
        *(part for row in history.db_input_cache for part in row if isinstance(part, str)),
        *(value for value in shell.user_ns.values() if isinstance(value, str)),
        *shell.user_ns["In"],
        *(line for entry in linecache.cache.values() if len(entry) > 2 for line in entry[2]),
    ]
    assert [text for text in held if KEY in text] == []
    assert any("nb_…c3d4" in text for text in history.input_hist_raw)


def test_the_history_is_written_as_before_afterwards(shell, refused):
    before = shell.history_manager.db_cache_size
    refused(f'x = "{KEY}"')

    assert shell.history_manager.db_cache_size == before


def test_the_placeholder_has_its_own_message(refused):
    error = refused('import os; os.environ["ELUMENTA_API_KEY"] = "nb_YOUR_API_KEY"')

    assert "placeholder" in str(error)


@pytest.mark.parametrize(
    "cell",
    [
        "nb_convert_all_the_files_of_a_folder = 1\nnb_convert_all_the_files_of_a_folder",
        "def nb_convert_all_the_files_of_a_folder(): pass",
        "text = 'nb_short'",
        "text = 'curl -H \"Authorization: Bearer nb_YOUR_API_KEY\"'",
    ],
)
def test_what_is_no_key_runs(run, cell):
    assert run(cell) in (None, 1)


def test_a_long_name_of_another_cell_is_no_key(run):
    run("nb_convert_all_the_files_of_a_folder = 1")

    assert run("nb_convert_all_the_files_of_a_folder + 1") == 2
