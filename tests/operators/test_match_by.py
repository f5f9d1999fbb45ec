"""`match_by` through Airflow: refused when the Dag is parsed, mapped, and for rows at hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from plan_runs import PlanRun, counts_of, new_dag, with_status

from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.plans import PersonaPlanUpdatesOperator
from airflow_provider_persona.transfers import sql_to_persona
from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator
from airflow_provider_persona.version_compat import DAG
from tests.bulk.kinds import KINDS
from tests.operators.test_kinds_of_objects import OPERATORS

QUERY = {"sql": "SELECT 1", "sql_conn_id": "warehouse"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_filter_that_a_kind_does_not_have_is_an_error_when_the_dag_is_parsed(kind):
    operator = getattr(sql_to_persona, OPERATORS[kind.name])
    keys = kind.subject.match.keys
    for key in keys:
        operator(task_id="x", match_by=key, match_many="newest", **QUERY)
        PersonaPlanUpdatesOperator(task_id="x", object_kind=kind.name, match_by=key, **QUERY)
    for wrong in {"reference-id", "account-id", "inquiry-id", "report-id", "email", "reference_id"} - set(keys):
        with pytest.raises(ValueError, match=f"match_by is {', '.join(keys)}, not '{wrong}'"):
            operator(task_id="x", match_by=wrong, **QUERY)
        with pytest.raises(ValueError, match=f"match_by is {', '.join(keys)} for objects of kind {kind.name}, not"):
            PersonaPlanUpdatesOperator(task_id="x", object_kind=kind.name, match_by=wrong, **QUERY)


def test_a_wish_for_several_that_makes_no_sense_is_an_error_when_the_dag_is_parsed():
    with pytest.raises(ValueError, match="match_many is none, newest, all, not 'oldest'"):
        SqlToPersonaCasesOperator(task_id="x", match_by="reference-id", match_many="oldest", **QUERY)
    with pytest.raises(ValueError, match="match_many says nothing without match_by"):
        SqlToPersonaCasesOperator(task_id="x", match_many="all", **QUERY)


def test_mapped_shards_find_their_own_objects(run_dag, persona_connection, warehouse):
    opened = with_status(persona_connection, "Open", 6)
    rows = [(case_id.replace("case_", "customer-"), "Declined", n % 2) for n, case_id in enumerate(opened)]
    warehouse("verdicts", "customer, status, shard", rows)
    with DAG("shards", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        SqlToPersonaCasesOperator.partial(
            task_id="shard",
            sql="SELECT customer, status FROM verdicts WHERE shard = :shard",
            sql_conn_id="warehouse",
            match_by="reference-id",
            mapping={"reference_id": "customer"},
        ).expand(parameters=[{"shard": 0}, {"shard": 1}])
    assert str(run_dag(dag).state) == "success"
    assert sorted(effect.case_id for effect in persona_connection.journal()) == sorted(opened)


def test_rows_at_hand_can_be_matched_too(run_dag, persona_connection, state_path):
    opened = with_status(persona_connection, "Open", 2)
    rows = [{"account_id": case_id.replace("case_", "act_"), "status": "Declined"} for case_id in opened]
    with new_dag() as dag:
        PersonaBulkUpdateCasesOperator(task_id="apply", changes=rows, match_by="account-id")
    assert counts_of(PlanRun(run_dag(dag)).returned("apply")) == {"updated": 2}
    assert state_path.exists()
