"""What `make contract` says, before it installs anything, of a path that is no specification."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ASKED = Path(__file__).parents[2] / "tools" / "contract_specification.py"
PUBLISHED = "https://github.com/persona-id/persona-openapi"


def asked_about(path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PERSONA_SPECIFICATION": str(path)}
    return subprocess.run([sys.executable, ASKED], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (None, "is not there"),
        ("openapi: 3.1.0", "is not JSON"),
        ("\x00", "is not JSON"),
        ("[]", "is JSON, but no OpenAPI specification"),
        ('{"openapi": "3.1.0"}', "is JSON, but no OpenAPI specification"),
    ],
)
def test_it_says_what_is_wrong_and_where_persona_publishes_it(tmp_path, content, wrong):
    path = tmp_path / "a copy.json"
    if content is not None:
        path.write_text(content)
    done = asked_about(path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{path} {wrong}")
    assert PUBLISHED in done.stderr


def test_a_folder_is_not_a_specification(tmp_path):
    assert asked_about(tmp_path).stderr.startswith(f"{tmp_path} is not a file")


def test_it_is_silent_about_a_specification(tmp_path):
    path = tmp_path / "openapi.json"
    path.write_text('{"openapi": "3.1.0", "paths": {}}')
    done = asked_about(path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_nothing_is_installed_before_it_is_asked():
    lines = (ASKED.parents[1] / "Makefile").read_text().splitlines()
    (needs,) = [line.split() for line in lines if line.startswith("contract:")]
    assert needs[1] == "specification"
