"""Arguments that are declared once, in groups: Airflow, `help()` and the documentation know each of them by name."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime

import pytest

from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.plans import (
    PersonaApplyPlanOperator,
    PersonaPlanCaseUpdatesOperator,
    PersonaRevertPlanOperator,
)
from airflow_provider_persona.tasks.bulk_task import BulkOperator
from airflow_provider_persona.tasks.declared_arguments import ArgumentGroup, argument
from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator, SqlToPersonaOperator
from airflow_provider_persona.version_compat import DAG

OPERATORS = [
    PersonaApplyPlanOperator,
    PersonaBulkUpdateCasesOperator,
    PersonaPlanCaseUpdatesOperator,
    PersonaRevertPlanOperator,
    SqlToPersonaCasesOperator,
    SqlToPersonaOperator,
]


def dag(**options):
    return DAG("groups", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, **options)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)
def test_signature_docstring_and_template_fields_name_every_argument(operator):
    known = inspect.signature(operator.__init__).parameters
    for name, each in operator.arguments.items():
        assert name in known
        assert f":param {name}: " in operator.__doc__
        assert each.doc.endswith(".")
        assert (each.kept_as in operator.template_fields) is each.is_template


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)
def test_no_operator_has_more_than_one_base_of_ours(operator):
    ours = [base for base in operator.__mro__[1:] if base.__module__.startswith("airflow_provider_persona.")]
    assert ours == [BulkOperator]
    assert "execute" in vars(operator)


def test_default_args_of_the_dag_fill_in_what_the_operator_is_not_given():
    with dag(default_args={"sql_conn_id": "warehouse", "concurrency": 3, "never_from": ["Approved"]}):
        task = SqlToPersonaCasesOperator(task_id="t", sql="SELECT 1", never_from=["Declined"])
    assert (task.sql_conn_id, task.concurrency, task.never_from) == ("warehouse", 3, ["Declined"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sql": "SELECT 1"}, "sql_conn_id"),
        ({"sql": "SELECT 1", "sql_conn_id": "w", "guard": "Open"}, "guard"),
        ({"sql": "SELECT 1", "sql_conn_id": "w", "concurrency": 0}, "concurrency is a number of requests, 1 or more"),
        ({"sql": "SELECT 1", "sql_conn_id": "w", "concurrency": True}, "concurrency is a number of requests"),
    ],
)
def test_missing_unknown_and_wrong_arguments_are_refused_when_the_dag_is_parsed(given, said):
    with pytest.raises(Exception, match=said):
        SqlToPersonaCasesOperator(task_id="t", **given)


def test_partial_and_expand_know_the_arguments():
    with dag():
        mapped = SqlToPersonaCasesOperator.partial(task_id="t", sql_conn_id="w", reserve=0.1).expand(sql=["a", "b"])
    assert mapped.partial_kwargs["reserve"] == 0.1
    with dag(), pytest.raises(TypeError, match="guard"):
        SqlToPersonaCasesOperator.partial(task_id="t", sql_conn_id="w", guard=1)


def test_an_operator_of_a_user_may_add_an_argument_of_its_own():
    class Ours(SqlToPersonaCasesOperator):
        def __init__(self, *, owner_team: str, **kwargs):
            super().__init__(sql_conn_id="warehouse", **kwargs)
            self.owner_team = owner_team

    task = Ours(task_id="t", sql="SELECT 1", owner_team="risk", max_changes=5)
    assert (task.owner_team, task.sql, task.sql_conn_id, task.max_changes) == ("risk", "SELECT 1", "warehouse", 5)


def test_a_group_may_stand_on_another_and_give_an_argument_anew():
    class One(ArgumentGroup):
        """Two arguments."""

        first: int = argument("the first.", default=1)
        second: int = argument("the second.")

    class Two(One):
        """Three of them, and the first is another one."""

        first: str = argument("the first, as a text.")
        third: int = argument("the third.")

    assert [(each.name, each.annotation) for each in Two.arguments.values()] == [
        ("first", "str"),
        ("second", "int"),
        ("third", "int"),
    ]
    assert One.arguments["first"].default == 1
