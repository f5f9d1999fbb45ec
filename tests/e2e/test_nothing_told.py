"""What all the tests before have left: the API key is in no file and in no table. This runs last."""

from __future__ import annotations

import json

import pytest
from decisions import API_KEY

pytestmark = pytest.mark.e2e

MASK = "***"


def test_the_api_key_is_in_no_file(airflow):
    """Logs of servers and tasks at the level DEBUG, plans, ledgers, the warehouse."""
    files = {path: path.read_bytes() for path in airflow.home.rglob("*") if path.is_file()}
    assert b"urllib3.connectionpool" in b"".join(files.values()), "the log of the wire is among them"
    assert [path for path, held in files.items() if API_KEY.encode() in held] == []


def test_airflow_had_to_mask_nothing(airflow):
    """Airflow puts asterisks where a task would have logged a password: that would have been our mistake too."""
    lines = [line for text in airflow.task_logs().values() for line in text.splitlines()]
    assert {json.loads(line)["level"] for line in lines} >= {"debug", "info"}
    assert [line for line in [*lines, *airflow.log("triggerer").splitlines()] if MASK in line] == []


def test_the_api_key_is_in_no_table(airflow):
    assert "connection" in airflow.tables_with("persona_default"), "the search finds what is there"
    assert airflow.tables_with(API_KEY) == []
