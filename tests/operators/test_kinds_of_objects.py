"""The operators for other objects than cases, through Airflow: what they take, refuse and change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_persona.operators.plans import PersonaPlanUpdatesOperator
from airflow_provider_persona.transfers import sql_to_persona
from airflow_provider_persona.version_compat import DAG
from tests.bulk.kinds import KINDS

OPERATORS = {
    "case": "SqlToPersonaCasesOperator",
    "account": "SqlToPersonaAccountsOperator",
    "transaction": "SqlToPersonaTransactionsOperator",
    "report": "SqlToPersonaReportsOperator",
    "inquiry": "SqlToPersonaInquiriesOperator",
}
ROWS = [{"account_id": "act_1", "add_tags": "x"}]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name in OPERATORS], ids=lambda kind: kind.name)
def test_rows_of_a_query_change_objects_of_the_kind(run_dag, persona_connection, warehouse, kind):
    ids = kind.ids(persona_connection, 2)
    wish = {name: value for name, value in kind.wish.items() if name != "fields"} or {"tags": "vip"}
    columns = ", ".join([kind.subject.id_column, *wish])
    warehouse("wishes", columns, [(object_id, *wish.values()) for object_id in ids])
    with DAG("kinds", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        operator = getattr(sql_to_persona, OPERATORS[kind.name])
        operator(task_id="change", sql="SELECT * FROM wishes", sql_conn_id="warehouse", compare="get")
    instance = run_dag(dag).get_task_instance("change")
    assert str(instance.state) == "success"
    assert instance.xcom_pull(task_ids="change")["counts"]["updated"] == 2


def test_a_plan_of_an_unknown_kind_is_refused_when_the_dag_is_parsed():
    with pytest.raises(ValueError, match=r"object_kind is case, account, inquiry.*, not 'relay'"):
        PersonaPlanUpdatesOperator(task_id="plan", object_kind="relay", changes=ROWS)


@pytest.mark.parametrize("guard", [{"only_from": "Open"}, {"never_from": "Open"}, {"forbid_transitions": "a -> b"}])
def test_a_guard_without_a_status_is_refused_when_the_dag_is_parsed(guard):
    (name,) = guard
    with pytest.raises(ValueError, match=f"no call sets the status of an object of kind account; leave out {name}"):
        PersonaPlanUpdatesOperator(task_id="plan", object_kind="account", changes=ROWS, **guard)


def test_a_plan_needs_rows_from_one_place():
    with pytest.raises(ValueError, match="give either sql with sql_conn_id, or changes"):
        PersonaPlanUpdatesOperator(task_id="plan", object_kind="account")


def test_what_was_before_is_kept_of_cases_only():
    with pytest.raises(ValueError, match="keep_before is for cases"):
        PersonaPlanUpdatesOperator(task_id="plan", object_kind="account", changes=ROWS, keep_before=True)
