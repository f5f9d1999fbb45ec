"""Which arguments of operators a type checker knows as Airflow's own. `make lint` checks `typed_dags` with mypy."""

from __future__ import annotations

import ast
import inspect

from airflow_provider_persona.tasks import airflow_arguments
from airflow_provider_persona.version_compat import BaseOperator


def test_all_arguments_of_airflows_operator_are_listed_for_type_checkers():
    tree = ast.parse(inspect.getsource(airflow_arguments))
    listed = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    names = {each.target.id for each in listed.body if isinstance(each, ast.AnnAssign)}
    taken = set(inspect.signature(BaseOperator.__init__).parameters) - {"self", "kwargs"}
    assert taken - names == set()
    only_elsewhere = {"retry_policy", "render_template_as_native_obj", "task_concurrency"}  # 3.3 and 2.11
    assert names - taken <= only_elsewhere
