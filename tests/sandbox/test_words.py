"""Text answers: facts about the prompt, JSON and code when asked for."""

from __future__ import annotations

import ast
import json

import pytest
from hypothesis import given, settings, strategies as st

from elumenta_nb.sandbox.makers.words import answer, pieces


def test_prose_counts_and_quotes_the_prompt():
    text = answer("How many words are there?", "gpt-5")

    assert text.startswith("**SANDBOX**")
    assert "not by gpt-5" in text
    assert "“How many words are there?”" in text
    assert "5 words and 25 characters" in text


@pytest.mark.parametrize(
    "prompt",
    [
        'Reply in JSON: {"title": "...", "year": 0}',
        "Return a JSON object with the fields title, year.",
        "Give me JSON with keys: `title`, `year`",
    ],
)
def test_json_asked_for_by_its_keys_has_them(prompt):
    value = json.loads(answer(prompt, "gpt-5"))

    assert value["title"].startswith("SANDBOX")
    assert "year" in value
    assert value["sandbox"] == "made by the sandbox, not by gpt-5"


def test_json_may_be_asked_for_by_the_system_prompt_or_as_a_list():
    assert json.loads(answer("Boats", "gpt-5", system="Answer with JSON only."))["words"] == 1
    assert isinstance(json.loads(answer("Boats as a JSON array", "gpt-5")), list)


def test_code_is_a_fence_of_python_that_parses():
    text = answer("Write a Python function that adds", "gpt-5")
    code = text.split("```python\n")[1].split("```")[0]

    assert ast.parse(code)
    assert "SANDBOX" in code


def test_code_only_is_nothing_but_the_fence():
    text = answer("Add two numbers", "gpt-5", system="Answer with Python code only, no explanation.")

    assert text.startswith("```python\n")
    assert text.endswith("```")


def test_the_answer_keeps_to_its_length():
    assert len(answer("Boats", "gpt-5", max_tokens=5)) <= 20


def test_the_same_prompt_gets_the_same_answer():
    assert answer("Boats", "gpt-5") == answer("Boats", "gpt-5")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_no_prompt_breaks_it_and_the_pieces_are_the_whole(prompt):
    for system in ("", "Answer with JSON only", "Python code only"):
        text = answer(prompt, "gpt-5", system=system)

        assert "".join(pieces(text)) == text
        assert "SANDBOX" in text or "sandbox" in text
    assert json.loads(answer(prompt, "gpt-5", system="JSON"))
