"""Airflow's own retry policies (3.3): which errors fail at once, which wait for a limit, and whose policy holds."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_persona.api.errors import (
    PersonaAuthenticationError,
    PersonaNotFoundError,
    PersonaPermissionError,
    PersonaQuotaError,
    PersonaRateLimitError,
    PersonaServerError,
    PersonaValidationError,
    error_from_event,
)
from airflow_provider_persona.api.retry import NO_RETRIES
from airflow_provider_persona.bulk.apply.halt import CircuitBreaker, Halt
from airflow_provider_persona.bulk.errors import RunStoppedError
from airflow_provider_persona.hooks.persona import PersonaHook
from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.cases import PersonaUpdateCaseOperator
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.sensors.cases import PersonaCaseSensor
from airflow_provider_persona.tasks.retry_policy import PersonaRetryPolicy
from airflow_provider_persona.transfers.persona_files_to_object_storage import PersonaFilesToObjectStorageOperator
from airflow_provider_persona.transfers.persona_to_sql import PersonaToSqlOperator
from airflow_provider_persona.version_compat import (
    AIRFLOW_V_3_3_PLUS,
    DAG,
    AirflowOptionalProviderFeatureException,
    task,
)

with_policies = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow 3.3 brought retry policies")

OPERATORS = [
    (PersonaBulkUpdateCasesOperator, {"changes": []}),
    (PersonaOperator, {"operation_id": "list-all-cases"}),
    (PersonaCaseSensor, {"case_id": "case_1", "target_statuses": "Declined"}),
    (PersonaUpdateCaseOperator, {"case_id": "case_1", "status": "Declined"}),
    (
        PersonaFilesToObjectStorageOperator,
        {"operation_id": "retrieve-case", "path": {"case-id": "a"}, "output_path": "b"},
    ),
    (PersonaToSqlOperator, {"operation_id": "list-all-cases", "table": "cases", "sql_conn_id": "warehouse"}),
]


@pytest.mark.skipif(AIRFLOW_V_3_3_PLUS, reason="Airflow 3.3 has retry policies")
def test_an_airflow_without_policies_says_so_when_the_dag_is_parsed():
    with pytest.raises(AirflowOptionalProviderFeatureException, match=r"need Airflow 3\.3"):
        PersonaRetryPolicy()


@with_policies
@pytest.mark.parametrize(
    ("error", "decision"),
    [
        (PersonaAuthenticationError("401"), ("fail", None)),
        (PersonaPermissionError("403"), ("fail", None)),
        (PersonaNotFoundError("404"), ("fail", None)),
        (PersonaValidationError("422"), ("fail", None)),
        (PersonaServerError("503"), ("default", None)),
        (PersonaRateLimitError("429"), ("default", None)),
        (PersonaRateLimitError("429", retry_after=1200.0), ("retry", timedelta(minutes=20))),
        (PersonaQuotaError("429", retry_after=1e12), ("retry", timedelta(hours=24))),
        (RunStoppedError("stopped", retryable=True, retry_after=90.0), ("retry", timedelta(seconds=90))),
        (RunStoppedError("stopped", retryable=False), ("fail", None)),
        (ConnectionError("of somebody else"), ("default", None)),
    ],
    ids=lambda each: f"{type(each).__name__} {each}" if isinstance(each, Exception) else each[0],
)
def test_what_an_error_means_for_the_next_try(error, decision):
    found = PersonaRetryPolicy().evaluate(error, 1, 3)
    assert (found.action.value, found.retry_delay) == decision


def test_the_wait_is_known_where_the_error_comes_from_a_trigger_or_ends_a_run():
    error = PersonaRateLimitError("429", retry_after=1200.0)
    assert error_from_event(error.to_event()).retry_after == 1200.0
    halt = Halt(CircuitBreaker(0.5))
    halt.weigh(error)
    assert halt.in_report() == {"stopped": "429", "stopped_for_good": False, "retry_after": 1200.0}


@with_policies
@pytest.mark.parametrize(("operator", "arguments"), OPERATORS, ids=lambda each: getattr(each, "__name__", ""))
def test_operators_have_the_policy_unless_the_dag_gives_another(operator, arguments):
    from airflow.sdk import ExceptionRetryPolicy

    own = ExceptionRetryPolicy(rules=[])
    assert isinstance(operator(task_id="t", **arguments).retry_policy, PersonaRetryPolicy)
    assert operator(task_id="t", retry_policy=own, **arguments).retry_policy is own
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with DAG("own_policy", schedule=None, start_date=start, default_args={"retry_policy": own}):
        assert operator(task_id="t", **arguments).retry_policy is own
    mapped = operator.partial(task_id="t", **arguments).expand(persona_conn_id=["a"])
    assert isinstance(mapped.unmap({"persona_conn_id": "a"}).retry_policy, PersonaRetryPolicy)


@with_policies
def test_a_task_of_ones_own_waits_for_the_limit_and_fails_at_once_where_a_retry_is_useless(run_dag, persona_connection):
    persona_connection.configure(create_quota=0, quota_status=429, window_seconds=2)
    began = []

    def create():
        began.append(time.monotonic())
        with PersonaHook(policy=NO_RETRIES) as hook:
            try:
                hook.call("create-an-inquiry", body={"data": {"attributes": {"inquiry-template-id": "itmpl_kyc"}}})
            except PersonaQuotaError:
                persona_connection.configure(create_quota=5)
                raise

    def look():
        with PersonaHook() as hook:
            hook.call("retrieve-a-case", path={"case-id": "case_nobody"})

    own = {"retries": 1, "retry_delay": timedelta(seconds=60), "retry_policy": PersonaRetryPolicy()}
    with DAG("own_tasks", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        task(**own)(create)()
        task(**own)(look)()
    run = run_dag(dag)
    found = {each: run.get_task_instance(each) for each in ("create", "look")}
    assert {name: (str(each.state), each.try_number) for name, each in found.items()} == {
        "create": ("success", 2),
        "look": ("failed", 1),
    }
    assert 1 <= began[1] - began[0] < 60  # after the limit's window of 2 s, not after Airflow's delay
