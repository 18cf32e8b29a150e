"""What the front end tells, and what is made of it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from elumenta_nb._magics import ElumentaMagics
from elumenta_nb._shell import Shell


def front_of(shell):
    return shell.magics_manager.registry[ElumentaMagics.__name__].front


def began(shell, source="1", cell_id=None):
    front = front_of(shell)
    front.begin(SimpleNamespace(raw_cell=source, cell_id=cell_id, store_history=True))
    return front


def test_the_front_end_s_cell_id_is_the_cell_s(shell):
    assert began(shell, cell_id="c1").origin().cell_id == "c1"


def test_without_one_the_source_names_the_cell(shell):
    first = began(shell, "%%elumenta text\nhello\n").origin()
    again = began(shell, "%%elumenta text\nhello\n").origin()
    other = began(shell, "%%elumenta text\nhallo\n").origin()

    assert first.cell_id == again.cell_id != other.cell_id
    assert first.cell_id == f"source-{first.source_hash[:8]}"
    assert first.run != again.run


def test_the_execution_count_is_the_running_cell_s(shell, session):
    shell.run("1")
    shell.run('%elumenta text gpt-5 "hello"')

    assert session.asked[0][1].execution_count == 2


@pytest.mark.parametrize(
    ("source", "label"),
    [
        ("# Monthly report\n%elumenta text gpt-5 hi", "Monthly report"),
        ("x = 1  # no", ""),
        ("%%elumenta text\n# a heading of the prompt", ""),
    ],
)
def test_the_label_is_the_comment_a_code_cell_begins_with(shell, source, label):
    assert began(shell, source).origin().label == label


def test_the_inherited_notebook_name_is_trusted_only_with_a_cell_id(shell):
    name = {"JPY_SESSION_NAME": "/home/a/work/report.ipynb"}

    assert began(shell).notebook(name) == ""
    assert began(shell, cell_id="c1").notebook(name).startswith("report.ipynb@")


def test_the_folder_of_a_notebook_is_a_hash(shell):
    here = began(shell, cell_id="c").notebook({"JPY_SESSION_NAME": "/home/a/report.ipynb"})
    there = began(shell, cell_id="c").notebook({"JPY_SESSION_NAME": "/home/b/report.ipynb"})

    assert here != there
    assert "home" not in here


def test_a_given_notebook_name_overrides(shell):
    assert began(shell).notebook({"ELUMENTA_NOTEBOOK": "lesson.ipynb"}).startswith("lesson.ipynb@")


def test_vs_code_says_the_file(shell):
    shell.user_ns["__vsc_ipynb_file__"] = "C:\\work\\report.ipynb"

    assert began(shell).notebook({}).startswith("report.ipynb@")


def test_the_hub_s_user_is_the_user(shell, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_USER", "anna")

    assert began(shell).origin().user == "anna"


def test_media_stay_where_the_notebook_began_when_it_moves_on(shell, monkeypatch, tmp_path):
    monkeypatch.setenv("ELUMENTA_MODE", "sandbox")
    shell.magics_manager.registry[ElumentaMagics.__name__].detach()
    magics = ElumentaMagics(shell)
    magics.attach()
    began_in = Path.cwd()
    shell.run(f"import os; os.chdir({str(tmp_path)!r})")
    picture = shell.run("%%elumenta image photon-flash\na boat\n")
    magics.detach()

    assert picture.path.is_relative_to(began_in)


def test_tags_are_kept_once_and_in_order(shell):
    assert began(shell).origin(("b", "a", "b")).tags == ("b", "a")


def test_a_kernel_without_cell_ids_gets_no_changing_display():
    kernel = Shell(SimpleNamespace(kernel=object(), user_ns={}, get_parent=lambda: {"metadata": {"cellId": "c9"}}))
    kernel.begin(SimpleNamespace(raw_cell="1", cell_id=None, store_history=True))
    assert kernel.is_live
    kernel.ip.get_parent = lambda: {"metadata": {}}
    kernel.begin(SimpleNamespace(raw_cell="1", cell_id=None, store_history=True))

    assert not kernel.is_live


def test_what_is_shown_when_no_cell_runs_is_shown_at_once(shell):
    front, seen = front_of(shell), []
    shell.run("1")
    front.after_cell(lambda: seen.append(1))

    assert seen == [1]


def test_unloading_leaves_nothing_behind(shell):
    from elumenta_nb._magics import load_ipython_extension, unload_ipython_extension

    def held():
        return [
            len(shell.ast_transformers),
            len(shell.input_transformers_cleanup),
            len(shell.Completer.custom_matchers),
            *(len(callbacks) for callbacks in shell.events.callbacks.values()),
        ]

    unload_ipython_extension(shell)
    before = held()
    load_ipython_extension(shell)
    assert "elumenta" in shell.magics_manager.magics["line"]
    unload_ipython_extension(shell)

    assert held() == before
    assert "elumenta" not in shell.magics_manager.magics["line"]
    assert "elumenta" not in shell.magics_manager.magics["cell"]
