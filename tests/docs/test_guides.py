"""Every snippet of the guides is tried out: Dags run through Airflow against the simulator, commands exist."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from airflow_provider_persona.version_compat import (
    AIRFLOW_V_3_0_PLUS,
    AIRFLOW_V_3_1_PLUS,
    AIRFLOW_V_3_3_PLUS,
)
from tests.docs.arrangements import ARRANGEMENTS, GUIDES, LAKE, World
from tests.snippets import REPOSITORY, check_commands, check_configuration, dag_of, run_as_script, snippets_of

SNIPPETS = [snippet for page in sorted(GUIDES.parent.rglob("*.md")) for snippet in snippets_of(page)]
KNOWN = {"python", "shell", "sql", "ini", "text", "{toctree}", "{literalinclude}", "{image}"}
"""Text shows what something prints; the directives are read by Sphinx, whose warnings are errors."""


def _of(language, *, is_dag=False):
    return [snippet for snippet in SNIPPETS if snippet.language == language and snippet.is_dag is is_dag]


def _with_tests(snippet):
    return "def test_" in snippet.text


def test_every_block_is_of_a_kind_that_is_tried_out():
    assert {snippet.language for snippet in SNIPPETS} <= KNOWN
    with_sql = {snippet.page.stem for snippet in SNIPPETS if snippet.language == "sql"}
    assert with_sql == {"resume-and-audit"}  # whose queries are run by the arrangement of its Dag


@pytest.mark.parametrize("snippet", _of("python", is_dag=True), ids=str)
def test_a_dag_does_what_its_guide_says(
    snippet, run_dag, warehouse, persona_connection, tmp_path, monkeypatch, request
):
    asks = "operators.approval" in snippet.text
    run_and_answer = request.getfixturevalue("run_and_answer") if asks else None
    dag = dag_of(snippet.replaced(LAKE, str(tmp_path)), tmp_path)
    arrangement = ARRANGEMENTS[dag.dag_id](World(persona_connection, warehouse, tmp_path, monkeypatch, dag, run_dag))
    conf = next(arrangement)
    if run_and_answer:
        run, dag.asked = run_and_answer(dag, "Approve", reason="as agreed", **conf)
    else:
        run = run_dag(dag, **conf)
    assert str(run.state) == "success"
    with pytest.raises(StopIteration):
        arrangement.send(run)


@pytest.mark.parametrize("snippet", [each for each in _of("python") if not _with_tests(each)], ids=str)
def test_a_script_runs(snippet, persona_connection):
    if ("DeadlineAlert" in snippet.text and not AIRFLOW_V_3_1_PLUS) or (
        "retry_policy" in snippet.text and not AIRFLOW_V_3_3_PLUS
    ):
        pytest.skip("this Airflow has no such thing")
    run_as_script(snippet)


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="the guide's imports are those of Airflow 3")
@pytest.mark.parametrize("snippet", [each for each in _of("python") if _with_tests(each)], ids=str)
def test_the_tests_that_a_guide_shows_pass(snippet, tmp_path):
    """In a process and an Airflow home of their own, as the guide says."""
    home, folder, dags = tmp_path / "airflow", tmp_path / "tests", tmp_path / "dags"
    folder.mkdir()
    dags.mkdir()
    shutil.copy(REPOSITORY / "dags" / "persona_update_one_case.py", dags)  # each test reads the whole folder
    (folder / "test_guide.py").write_text(snippet.text, "utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AIRFLOW"))}
    environment |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }

    def run(*command):
        arguments = [sys.executable, "-m", *command]
        return subprocess.run(
            arguments, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
        )

    assert run("airflow", "db", "migrate").returncode == 0
    done = run("pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{snippet.text.count('def test_')} passed" in done.stdout


@pytest.mark.parametrize("snippet", _of("shell"), ids=str)
def test_every_command_exists(snippet):
    check_commands(snippet)


@pytest.mark.parametrize("snippet", _of("ini"), ids=str)
def test_every_option_exists(snippet):
    check_configuration(snippet)


def test_no_arrangement_is_left_over():
    dags = "".join(snippet.text for snippet in _of("python", is_dag=True))
    assert [dag_id for dag_id in ARRANGEMENTS if f'"{dag_id}"' not in dags] == []
