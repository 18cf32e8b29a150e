"""The search for a browser: what it takes, what it refuses, what it says when there is none."""

import provision
import pytest


def program(tmp_path, says: str, exits: int = 0):
    path = tmp_path / "chrome"
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {exits}\n")
    path.chmod(0o755)
    return path


def test_the_browser_a_person_names_is_taken(tmp_path, monkeypatch):
    path = program(tmp_path, "Chromium 156")
    monkeypatch.setenv("ELUMENTA_TEST_CHROMIUM", str(path))

    assert provision.provision() == str(path)


def test_a_named_browser_that_does_not_start_is_an_error_and_no_reason_to_look_elsewhere(monkeypatch):
    monkeypatch.setenv("ELUMENTA_TEST_CHROMIUM", "/no/such/chrome")

    with pytest.raises(SystemExit, match="/no/such/chrome"):
        provision.provision()


def test_a_program_that_fails_to_start_is_no_browser(tmp_path):
    assert provision.runs(program(tmp_path, "", exits=127)) is None


def test_one_on_the_path_is_found(tmp_path, monkeypatch):
    path = program(tmp_path, "Chromium 156").rename(tmp_path / "chromium")
    monkeypatch.delenv("ELUMENTA_TEST_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert provision.find() == str(path)


def test_without_any_it_says_what_to_install():
    with pytest.raises(SystemExit) as excinfo:
        provision.provision(ways=(lambda: None,))

    assert "apt-get install chromium" in str(excinfo.value)
    assert "make test-quick" in str(excinfo.value)


def test_the_ways_are_tried_in_order_and_the_first_that_works_ends_it():
    tried = []

    def way(name: str, found: str | None):
        return lambda: tried.append(name) or found

    assert provision.provision(ways=(way("a", None), way("b", "/b"), way("c", "/c"))) == "/b"
    assert tried == ["a", "b"]
