"""`%elumenta price --notebook` and `%elumenta doctor` where a notebook runs: which file it is, and whose variables."""

import json
from pathlib import Path

import pytest

from elumenta_nb._completion import complete
from elumenta_nb._errors import BadParam, ConfigError
from elumenta_nb._magics import ElumentaMagics
from elumenta_nb._parser import parse
from elumenta_nb._session import Session
from elumenta_nb._verbs import VERBS


@pytest.fixture
def session(tmp_path):
    session = Session(mode="sandbox", home=tmp_path / "home")
    yield session
    session.close()


def saved(name: str, *sources: str) -> Path:
    cells = [{"cell_type": "code", "id": f"c{at}", "metadata": {}, "source": text} for at, text in enumerate(sources)]
    path = Path(name).absolute()
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}))
    return path


def low_high(value):
    return [(row.low, row.high) for row in value.rows]


def test_the_notebook_the_environment_names_is_priced_with_the_variables_as_they_are(shell, monkeypatch):
    saved("report.ipynb", "%%elumenta image dall-e-3 --quality {{q}}\na {{what}}")
    monkeypatch.setenv("ELUMENTA_NOTEBOOK", "report.ipynb")
    shell.kernel = object()

    assert low_high(shell.run("%elumenta price --notebook")) == [(5, 13)]
    shell.run("q, what = 'hd', 'cat'")
    assert low_high(shell.run("%elumenta price --notebook")) == [(9, 9)]


def test_another_file_is_not_filled_with_the_variables_of_this_kernel(shell):
    saved("other.ipynb", "%%elumenta image dall-e-3 --quality {{q}}\na cat")
    shell.run("q = 'hd'")

    assert low_high(shell.run("%elumenta price --notebook other.ipynb")) == [(5, 13)]


def test_an_inherited_session_name_is_believed_only_with_a_cell_id(shell, monkeypatch):
    path = saved("mine.ipynb", "%%elumenta text gpt-5\nhello")
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))

    with pytest.raises(BadParam) as caught:
        shell.run("%elumenta price --notebook")
    assert "NAME.ipynb" in caught.value.hint
    assert low_high(shell.run("%elumenta price --notebook", cell_id="c7")) == [(2, 2)]


def test_a_relative_name_starts_where_the_notebook_is(shell, monkeypatch, tmp_path):
    saved("mine.ipynb", "%%elumenta text gpt-5\nhello")
    monkeypatch.setenv("ELUMENTA_NOTEBOOK", "mine.ipynb")
    monkeypatch.chdir(tmp_path)

    assert low_high(shell.run("%elumenta price --notebook")) == [(2, 2)]


def test_vs_code_s_variable_names_the_file(shell):
    shell.push({"__vsc_ipynb_file__": str(saved("code.ipynb", "%%elumenta text gpt-5\nhello"))})

    assert low_high(shell.run("%elumenta price --notebook")) == [(2, 2)]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("price --notebook", True),
        ("price --notebook a.ipynb", "a.ipynb"),
        ("price --notebook=a.ipynb", "a.ipynb"),
        ("price --notebook --count 2", True),
        ("price dall-e-3", None),
    ],
)
def test_the_file_of_a_notebook_may_be_left_out(line, value):
    assert parse(line, verbs=VERBS, lookup=str)["notebook"] == value


@pytest.mark.parametrize("line", ["dall-e-3 --notebook", "--notebook a.ipynb text"])
def test_a_model_and_a_notebook_are_not_priced_at_once(shell, line):
    with pytest.raises(BadParam, match="not of both"):
        shell.run(f"%elumenta price {line}")


def test_completion_offers_both():
    assert "--notebook" in [text for text, _kind in complete("price --no")[1]]
    assert "doctor" in [text for text, _kind in complete("doc")[1]]


def test_the_doctor_is_the_value_of_its_line(shell):
    report = shell.run("%elumenta doctor")

    assert report.problems == []
    assert "SANDBOX" in str(report)


def test_the_doctor_answers_where_there_is_no_session(shell):
    def broken():
        raise ConfigError("ELUMENTA_MODE: 'lve' is not one of live, sandbox.", hint="unset it")

    shell.magics_manager.registry[ElumentaMagics.__name__].session = broken
    report = shell.run("%elumenta doctor")

    assert [finding.text for finding in report.problems] == ["ELUMENTA_MODE: 'lve' is not one of live, sandbox."]
    with pytest.raises(ConfigError):
        shell.run("%elumenta balance")


@pytest.mark.parametrize("line", ["price gpt-5", "text gpt-5 --quote hello"])
def test_a_price_of_the_sandbox_says_so(shell, line):
    card = shell.run_line_magic("elumenta", line)
    assert "SANDBOX" in str(card._repr_mimebundle_()[0]["text/plain"])
