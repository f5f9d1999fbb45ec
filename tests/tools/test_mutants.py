"""What `make mutants` changes and what it runs exist. A test under another name would end it in a trace of mutmut."""

from __future__ import annotations

import tomllib

import pytest

from tests.snippets import REPOSITORY

SETTINGS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
NAMED = [
    *(SETTINGS["source_paths"] + SETTINGS["only_mutate"] + SETTINGS["also_copy"]),
    *SETTINGS["pytest_add_cli_args_test_selection"],
    *(each.partition("=")[2].partition("::")[0] for each in SETTINGS["pytest_add_cli_args"] if "=tests" in each),
]


@pytest.mark.parametrize("path", NAMED)
def test_what_is_named_is_there(path):
    assert list(REPOSITORY.glob(path))
