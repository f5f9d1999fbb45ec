"""The operator that starts a workflow of Persona."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.api.document import Resource
from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.tasks.arguments import JsonObject, Text, as_seconds
from airflow_provider_persona.tasks.call_arguments import attribute, path
from airflow_provider_persona.tasks.call_operator import PersonaCallOperator
from airflow_provider_persona.tasks.declared_arguments import argument
from airflow_provider_persona.tasks.failure import fail_without_retry
from airflow_provider_persona.tasks.stopping import stop_of
from airflow_provider_persona.version_compat import AirflowFailException

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.api.messages import Response
    from airflow_provider_persona.api.operations import Operation


class PersonaTriggerWorkflowOperator(PersonaCallOperator):
    """Starts a workflow, and returns the id of its run, at once or when the run has ended.

    To wait for long, use a deferrable sensor after this task instead. A task that is cut off while it waits finds its
    run again when Airflow tries it again within the hour; later it starts no second one, but fails for good.

    Example: `PersonaTriggerWorkflowOperator(task_id="screen", workflow_id="wfl_…", fields={"customer": "…"},
    wait_for_completion=True)`
    """

    operation_id = "create-a-workflow-run"
    workflow_id: Text = path("workflow-id", "the workflow (`wfl_…`).")
    fields: JsonObject = attribute(
        "its input, as its trigger is configured; a mapping, empty if it takes none.", private=True
    )
    wait_for_completion: bool = argument(
        "whether to wait until Persona says when the run was completed.", default=False, is_template=False
    )
    poke_interval: float | timedelta = argument(
        "seconds, or a timedelta, between looks at the run.", default=15.0, is_template=False
    )
    wait_timeout: float | timedelta = argument(
        "seconds, or a timedelta, to wait at most; the task fails for good then, since a retry could start a second "
        "run. The run continues: wait for it with `PersonaWorkflowRunSensor`.",
        default=3600.0,
        is_template=False,
    )
    _run_id: str | None = None

    def execute(self, context: Context) -> Any:
        """Start the run, and wait for its end if `wait_for_completion` says so.

        :raises AirflowFailException: when it ended badly or not in time, or cannot be started.
        """
        with stop_of(self).heeded():
            answer = super().execute(context)
            if self.wait_for_completion and self._run_id is not None:
                # A wait of its own: `super().execute` has ended with its client, and its errors.
                with stop_of(self).heeded(), fail_without_retry():
                    self._wait_for(self._run_id)
            return answer

    def result_of(self, entry: Operation, response: Response) -> Any:
        """Remember the run, and return what `result` names of it.

        :raises PersonaAnswerError: when the answer names no run, and the task is to wait for it.
        """
        data = response.json().get("data")
        self._run_id = Resource(data).id if isinstance(data, Mapping) else None
        if self.wait_for_completion and self._run_id is None:
            raise PersonaAnswerError(
                f"the answer to {entry.operation_id} names no workflow run, so there is nothing to wait for",
                request_id=response.request_id,
                operation_id=entry.operation_id,
            )
        return super().result_of(entry, response)

    def check_arguments(self) -> None:
        """Check how long to wait, too, when the Dag is parsed.

        :raises BadCallError: when an argument makes no sense.
        """
        self._waits()
        super().check_arguments()

    def _waits(self) -> tuple[float, float]:
        return as_seconds(self.poke_interval, "poke_interval"), as_seconds(self.wait_timeout, "wait_timeout")

    def _wait_for(self, run_id: str) -> None:
        from airflow_provider_persona.api.errors import PersonaError
        from airflow_provider_persona.api.lifecycle import LIFECYCLES, Verdict

        runs = LIFECYCLES["workflow-run"]
        goal, request = runs.goal(), runs.request(run_id)
        poke_interval, wait_timeout = self._waits()
        deadline = time.monotonic() + wait_timeout
        with self.hook() as hook:
            while True:
                try:
                    state = runs.state(hook.client.send(request))
                except PersonaError as error:
                    if not error.retryable:
                        raise
                    # A retry of the task would have to find the run again, which it can for an hour only.
                    self.log.warning("%s; looking again at workflow run %s", error, run_id)
                else:
                    verdict = goal.verdict(state)
                    if verdict is Verdict.REACHED:
                        self.log.info("Workflow run %s is over, status %s", run_id, state.status)
                        return
                    if verdict is Verdict.FAILED:
                        raise AirflowFailException(f"workflow run {run_id} {goal.reason(state.status)}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AirflowFailException(
                        f"workflow run {run_id} was not over within {wait_timeout:g} s, and goes on; wait for it "
                        f"with PersonaWorkflowRunSensor(workflow_run_id={run_id!r}). Clearing this task starts another"
                    )
                time.sleep(min(poke_interval, left))  # the last look comes at the end of the time, and not before
