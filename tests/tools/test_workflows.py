"""What GitHub runs: actions pinned by commit, the least rights, and commands that the Makefile has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.snippets import make_targets

WORKFLOWS = sorted((Path(__file__).parents[2] / ".github" / "workflows").glob("*.yml"))
_PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_an_action_is_a_commit_and_says_its_version(path):
    used = [line.strip().removeprefix("- ") for line in path.read_text().splitlines() if "uses:" in line]
    assert used
    assert [line for line in used if not _PINNED.fullmatch(line)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_job_has_only_the_rights_that_it_names(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        writes = {name for name, right in job["permissions"].items() if right == "write"}
        assert writes <= {"id-token", "pages"}
        assert not writes or "environment" in job
        assert job["timeout-minutes"] > 0
        checkouts = [step for step in job["steps"] if "actions/checkout" in step.get("uses", "")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_makefile_has_every_command():
    named = {name for path in WORKFLOWS for name in re.findall(r"run: make ([a-z0-9-]+)", path.read_text())}
    assert {"lint", "e2e", "docs", "matrix", "dist"} <= named <= make_targets()
    suites = yaml.safe_load(WORKFLOWS[0].read_text())["jobs"]["test"]["strategy"]["matrix"]["suite"]
    assert set(suites) <= make_targets()
