"""What `make mutants` changes and what it runs exist. A test under another name would end it in a trace of mutmut."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from tests.snippets import REPOSITORY

SETTINGS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
NAMED = [
    *(SETTINGS["source_paths"] + SETTINGS["only_mutate"] + SETTINGS["also_copy"]),
    *SETTINGS["pytest_add_cli_args_test_selection"],
    *(each.partition("=")[2].partition("::")[0] for each in SETTINGS["pytest_add_cli_args"] if "=tests" in each),
]
COLLECT_TWICE = """
import sys
import pytest

class Names:
    def pytest_collection_modifyitems(self, items):
        self.found = {item.nodeid for item in items}

names = Names()
pytest.main(["--collect-only", "-qqq", *sys.argv[1:]], plugins=[names])
first = names.found
pytest.main(["--collect-only", "-qqq", *sys.argv[1:]], plugins=[names])
sys.exit(("\\n".join(first ^ names.found) if first else "no tests") or 0)
"""


@pytest.mark.parametrize("path", NAMED)
def test_what_is_named_is_there(path):
    assert list(REPOSITORY.glob(path))


def test_pytest_finds_each_test_under_the_same_name_when_it_collects_again():
    # mutmut collects once to learn the names, and again for each mutant. pytest escapes a name that `ids` gave a second
    # time then: a backslash in it becomes two. That test is not found, and mutmut takes the mutant for noticed.
    what = [*SETTINGS["pytest_add_cli_args"], *SETTINGS["pytest_add_cli_args_test_selection"]]
    done = subprocess.run(
        [sys.executable, "-c", COLLECT_TWICE, *what], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
