"""Templates: `{{ }}` and nothing else."""

import pandas as pd
import pytest
from hypothesis import given, strategies as st

from elumenta_nb._errors import BadParam
from elumenta_nb._template import render

FRAME = pd.DataFrame({"city": ["Omsk", "Perm"], "n": [1, 2]})


@pytest.mark.parametrize(
    "text", ["{% if x %}", "{# note #}", "{", "}", "{x}", "}}", '{"a": {"b": 1}', "\\frac{a}{b}\n"]
)
def test_everything_but_double_braces_is_literal(text):
    assert render(text + " {{ x }}", {"x": 1}) == text + " 1"


def test_an_expression_is_worked_out():
    assert render("{{ x + 1 }} {{ d.key }} {{ len(names) }} {{ names|join(', ') }}", {
        "x": 1, "d": {"key": "v"}, "names": ["a", "b"],
    }) == "2 v 2 a, b"  # fmt: skip


def test_a_value_is_never_a_template():
    assert render("{{ x }}", {"x": "{{ y }} {% raw %}"}) == "{{ y }} {% raw %}"


def test_a_table_is_written_whole_as_csv():
    assert render("{{ df }}", {"df": FRAME}) == "city,n\nOmsk,1\nPerm,2"
    assert render("{{ df.head(1) }}", {"df": FRAME}) == "city,n\nOmsk,1"
    assert render("{{ df }}", {"df": FRAME.set_index("city")}) == "city,n\nOmsk,1\nPerm,2"


def test_a_long_table_names_the_way_out():
    with pytest.raises(BadParam) as caught:
        render("{{ sales }}", {"sales": pd.DataFrame({"a": range(5000)})})

    assert "5,000" in str(caught.value)
    assert "{{sales.head(50)}}" in caught.value.hint


def test_two_hundred_rows_are_not_long():
    assert render("{{ df }}", {"df": pd.DataFrame({"a": range(200)})}).count("\n") == 200


def test_an_undefined_name_is_named_with_the_closest_variable():
    with pytest.raises(BadParam) as caught:
        render("{{ custmer }}", {"customer": 1, "_hidden": 2})

    assert "'custmer'" in str(caught.value)
    assert "{{customer}}" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "{{ x",
        "{{ }}",
        "{{ 1/0 }}",
        "{{ x.nothing }}",
        "{{ x|nofilter }}",
        "{{ open('f') }}",
        "{{ df.hed() }}",
        "{{ x() }}",
    ],
)
def test_what_cannot_be_worked_out_is_a_bad_parameter(text):
    with pytest.raises(BadParam):
        render(text, {"x": 1, "df": FRAME})


@pytest.mark.parametrize(
    "text",
    [
        "{{ x.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ f.__globals__ }}",
        "{{ '{0.__class__}'.format(x) }}",
        "{{ names.append(1) }}",
        "{{ x._private }}",
    ],
)
def test_the_sandbox_keeps_insides_and_changes_out(text):
    names = [1]
    with pytest.raises(BadParam):
        render(text, {"x": FRAME, "f": render, "names": names})

    assert names == [1]


def test_only_named_variables_are_touched():
    class Touchy:
        def __str__(self):
            raise AssertionError

    assert render("{{ x }}", {"x": 1, "other": Touchy()}) == "1"


@given(st.text().filter(lambda text: "{{" not in text))
def test_a_text_without_double_braces_is_left_alone(text):
    assert render(text, {}) == text


@given(st.text(), st.text(alphabet=st.characters(exclude_characters="{}\r"), max_size=40))
def test_any_value_comes_through_unchanged(value, around):
    assert render(around + "{{ x }}" + around, {"x": value}) == around + value + around
