"""The arguments of Airflow's own `BaseOperator`, for type checkers.

A type checker makes the signature of an operator from declared arguments (PEP 681), and knows no `**kwargs` there. So
Airflow's arguments are listed here: those of Airflow 2.11 and of 3.x. When a Dag runs, nothing of this exists, and
`TypedOperator` is Airflow's operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_persona.version_compat import BaseOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, MutableMapping
    from datetime import datetime, timedelta
    from typing import Any

    from airflow_provider_persona.tasks.call_arguments import DeclaresArguments, given_to_airflow

    class AirflowArguments(metaclass=DeclaresArguments):
        """What every operator takes."""

        task_id: str
        owner: str = given_to_airflow(default="")
        email: str | Iterable[str] | None = given_to_airflow(default=None)
        email_on_retry: bool = given_to_airflow(default=True)
        email_on_failure: bool = given_to_airflow(default=True)
        retries: int | None = given_to_airflow(default=0)
        retry_delay: timedelta | float = given_to_airflow(default=0)
        retry_exponential_backoff: float = given_to_airflow(default=0)
        max_retry_delay: timedelta | float | None = given_to_airflow(default=None)
        retry_policy: Any = given_to_airflow(default=None)
        start_date: datetime | None = given_to_airflow(default=None)
        end_date: datetime | None = given_to_airflow(default=None)
        depends_on_past: bool = given_to_airflow(default=False)
        ignore_first_depends_on_past: bool = given_to_airflow(default=False)
        wait_for_past_depends_before_skipping: bool = given_to_airflow(default=False)
        wait_for_downstream: bool = given_to_airflow(default=False)
        dag: Any = given_to_airflow(default=None)
        params: MutableMapping[str, Any] | None = given_to_airflow(default=None)
        default_args: dict[str, Any] | None = given_to_airflow(default=None)
        priority_weight: int = given_to_airflow(default=1)
        weight_rule: Any = given_to_airflow(default="")
        queue: str = given_to_airflow(default="")
        pool: str | None = given_to_airflow(default=None)
        pool_slots: int = given_to_airflow(default=1)
        sla: timedelta | None = given_to_airflow(default=None)
        execution_timeout: timedelta | None = given_to_airflow(default=None)
        on_execute_callback: Callable[..., Any] | Collection[Callable[..., Any]] | None = given_to_airflow(default=None)
        on_failure_callback: Callable[..., Any] | Collection[Callable[..., Any]] | None = given_to_airflow(default=None)
        on_success_callback: Callable[..., Any] | Collection[Callable[..., Any]] | None = given_to_airflow(default=None)
        on_retry_callback: Callable[..., Any] | Collection[Callable[..., Any]] | None = given_to_airflow(default=None)
        on_skipped_callback: Callable[..., Any] | Collection[Callable[..., Any]] | None = given_to_airflow(default=None)
        pre_execute: Callable[..., Any] | None = given_to_airflow(default=None)
        post_execute: Callable[..., Any] | None = given_to_airflow(default=None)
        trigger_rule: str = given_to_airflow(default="")
        resources: dict[str, Any] | None = given_to_airflow(default=None)
        run_as_user: str | None = given_to_airflow(default=None)
        task_concurrency: int | None = given_to_airflow(default=None)
        map_index_template: str | None = given_to_airflow(default=None)
        max_active_tis_per_dag: int | None = given_to_airflow(default=None)
        max_active_tis_per_dagrun: int | None = given_to_airflow(default=None)
        executor: str | None = given_to_airflow(default=None)
        executor_config: dict[str, Any] | None = given_to_airflow(default=None)
        do_xcom_push: bool = given_to_airflow(default=True)
        multiple_outputs: bool = given_to_airflow(default=False)
        inlets: Any = given_to_airflow(default=None)
        outlets: Any = given_to_airflow(default=None)
        task_group: Any = given_to_airflow(default=None)
        doc: str | None = given_to_airflow(default=None)
        doc_md: str | None = given_to_airflow(default=None)
        doc_json: str | None = given_to_airflow(default=None)
        doc_yaml: str | None = given_to_airflow(default=None)
        doc_rst: str | None = given_to_airflow(default=None)
        task_display_name: str | None = given_to_airflow(default=None)
        logger_name: str | None = given_to_airflow(default=None)
        allow_nested_operators: bool = given_to_airflow(default=True)
        render_template_as_native_obj: bool | None = given_to_airflow(default=None)

    class TypedOperator(AirflowArguments, BaseOperator):  # type: ignore[misc] # Airflow's attributes differ
        """Airflow's operator with its arguments by name."""
else:
    TypedOperator = BaseOperator
