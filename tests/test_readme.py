"""The README keeps its word: its Dags parse, its commands and names exist, its links lead somewhere."""

from __future__ import annotations

import importlib
import re

import pytest

from tests.snippets import REPOSITORY, check_commands, dag_of, make_targets, named_targets, snippets_of

PAGE = REPOSITORY / "README.md"
README = PAGE.read_text("utf-8")
PYTHON = snippets_of(PAGE, "python")


@pytest.mark.parametrize("snippet", PYTHON, ids=str)
def test_a_dag_of_the_readme_parses(snippet, tmp_path):
    assert dag_of(snippet, tmp_path).tasks


def test_the_first_dag_of_the_readme_runs(run_dag, warehouse, persona_connection, tmp_path):
    persona = persona_connection
    opened = [case_id for case_id, status in persona.statuses().items() if status == "Open"][:3]
    warehouse("chargebacks", "case_id, lost", [(opened[0], 1), (opened[1], 0), (opened[2], 1)])
    assert str(run_dag(dag_of(PYTHON[0], tmp_path)).state) == "success"
    assert {effect.case_id for effect in persona.journal()} == {opened[0], opened[2]}


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
