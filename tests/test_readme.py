"""The README keeps its word: its Dags parse, its commands and names exist, its links lead somewhere."""

from __future__ import annotations

import importlib
import re
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^( *)```(\w+)\n(.*?)^ *```", README, re.DOTALL | re.MULTILINE)
PYTHON = [textwrap.dedent(block) for _, language, block in BLOCKS if language == "python"]


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: re.search(r'DAG\("(\w+)"', block)[1])
def test_a_dag_of_the_readme_parses(block):
    assert _dag_of(block).tasks


def test_the_first_dag_of_the_readme_runs(run_dag, warehouse, persona_connection):
    persona = persona_connection
    opened = [case_id for case_id, status in persona.statuses().items() if status == "Open"][:3]
    warehouse("chargebacks", "case_id, lost", [(opened[0], 1), (opened[1], 0), (opened[2], 1)])
    assert str(run_dag(_dag_of(PYTHON[0])).state) == "success"
    assert {effect.case_id for effect in persona.journal()} == {opened[0], opened[2]}


def _dag_of(block):
    names = {}
    named = re.sub(r"^with (DAG\(.*\)):$", r"with \1 as dag:", block, count=1, flags=re.MULTILINE)
    exec(compile(named, "README.md", "exec"), names)
    return names["dag"]


def test_make_has_every_command_that_is_named():
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z0-9-]+)`", README)) | set(
        re.findall(r"^make ([a-z0-9-]+)", README, re.MULTILINE)
    )
    assert named
    assert named <= targets


def test_every_class_that_is_named_exists():
    for module, name in re.findall(
        r"`((?:operators|sensors|transfers|hooks)\.[a-z_]+(?:\.[a-z_]+)?)\.([A-Z]\w+)`", README
    ):
        assert hasattr(importlib.import_module(f"airflow_provider_persona.{module}"), name)


def test_every_local_link_leads_somewhere():
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", README):
        assert (REPOSITORY / target).exists(), target
