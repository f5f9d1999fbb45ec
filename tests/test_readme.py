"""The README keeps its word: its Dags parse, its commands and names exist, its links lead somewhere."""

from __future__ import annotations

import importlib
import re

import pytest

from tests.docs.arrangements import Arrangement, World, returned
from tests.snippets import REPOSITORY, check_commands, dag_of, make_targets, named_targets, snippets_of

PAGE = REPOSITORY / "README.md"
README = PAGE.read_text("utf-8")
PYTHON = snippets_of(PAGE, "python")


def test_every_block_is_of_a_kind_that_is_tried_out():
    assert {snippet.language for snippet in snippets_of(PAGE)} == {"python", "shell", "text"}


def _chargebacks(world: World) -> Arrangement:
    opened = world.cases("Open", 3)
    world.fill("chargebacks", "case_id, lost", [(opened[0], 1), (opened[1], 0), (opened[2], 1)])
    yield {}
    assert world.changed() == {opened[0], opened[2]}


def _reviewed(world: World) -> Arrangement:
    approved = world.cases("Approved", 5)
    opened = world.cases("Open", 2)
    rows = [(opened[0], "Declined"), (opened[1], "Declined"), *((case_id, "Approved") for case_id in approved)]
    world.fill("verdicts", "case_id, verdict", [*rows, *((case_id, "Open") for case_id in world.cases("Open", 8)[2:])])
    run = yield {}
    assert world.changed() == set(opened)
    assert returned(run, "plan")["transitions"] == {"Open -> Declined": 2}


def _one_case(world: World) -> Arrangement:
    (case_id,) = world.cases("Open", 1)
    run = yield {"case_id": case_id}
    assert world.persona.statuses()[case_id] == "Declined"
    assert str(run.get_task_instance("decided").state) == "success"


ARRANGEMENTS = {"chargebacks": _chargebacks, "reviewed": _reviewed, "one_case": _one_case}


@pytest.mark.parametrize("snippet", PYTHON, ids=str)
def test_a_dag_of_the_readme_runs(snippet, run_dag, warehouse, persona_connection, tmp_path, monkeypatch):
    dag = dag_of(snippet, tmp_path)
    arrangement = ARRANGEMENTS[dag.dag_id](World(persona_connection, warehouse, tmp_path, monkeypatch, dag, run_dag))
    run = run_dag(dag, **next(arrangement))
    assert str(run.state) == "success"
    with pytest.raises(StopIteration):
        arrangement.send(run)


def test_make_has_every_command_that_is_named():
    named = named_targets(README)
    assert named
    assert named <= make_targets()


@pytest.mark.parametrize("snippet", snippets_of(PAGE, "shell"), ids=str)
def test_every_command_exists(snippet):
    check_commands(snippet)


def test_every_class_that_is_named_exists():
    for module, name in re.findall(
        r"`((?:operators|sensors|transfers|hooks)\.[a-z_]+(?:\.[a-z_]+)?)\.([A-Z]\w+)`", README
    ):
        assert hasattr(importlib.import_module(f"airflow_provider_persona.{module}"), name)


def test_every_local_link_leads_somewhere():
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", README):
        assert (REPOSITORY / target).exists(), target
