"""What a type checker says of the arguments of operators, and which of them are Airflow's own."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_persona.tasks import airflow_arguments
from airflow_provider_persona.version_compat import BaseOperator

ROOT = Path(__file__).parents[2]
DAGS = Path(__file__).parent / "typed_dags"


@pytest.mark.timeout(300)  # without a cache mypy reads all of Airflow
def test_a_type_checker_accepts_what_is_right_and_refuses_what_is_wrong():
    pytest.importorskip("mypy", reason="mypy is installed beside one version of Airflow only")
    files = [str(DAGS / name) for name in ("accepted.py", "refused.py")]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *files]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = re.findall(r"typed_dags/(\w+)\.py:(\d+): error: .*\[([\w-]+)\]", said.stdout)
    lines = enumerate((DAGS / "refused.py").read_text("utf-8").splitlines(), 1)
    marked = [(number, line.partition("# refused: ")[2].split(", ")) for number, line in lines]
    wanted = [("refused", str(number), code) for number, codes in marked for code in codes if code]
    assert len(wanted) == 14
    assert found == wanted, said.stdout + said.stderr


def test_all_arguments_of_airflows_operator_are_listed_for_type_checkers():
    tree = ast.parse(inspect.getsource(airflow_arguments))
    listed = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    names = {each.target.id for each in listed.body if isinstance(each, ast.AnnAssign)}
    taken = set(inspect.signature(BaseOperator.__init__).parameters) - {"self", "kwargs"}
    assert taken - names == set()
    only_elsewhere = {"retry_policy", "render_template_as_native_obj", "task_concurrency"}  # 3.3 and 2.11
    assert names - taken <= only_elsewhere
