"""The operator that starts a workflow of Persona.

It takes the parameters of `PersonaCallOperator` too: `result` and `persona_conn_id`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_persona.operators.named import NamedOperator
from airflow_provider_persona.task_failure import failing_for_good_when_useless_to_retry

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.api.messages import Response
    from airflow_provider_persona.api.operations import Operation


class PersonaTriggerWorkflowOperator(NamedOperator):
    """Starts a workflow, and returns the id of its run; if asked to, once the run is over.

    To wait for long, use a deferrable sensor after this task instead. A task that is cut off while it waits finds its
    run again when Airflow tries it again within the hour; later it starts no second one, but fails for good.

    Example: `PersonaTriggerWorkflowOperator(task_id="screen", workflow_id="wfl_…", fields={"customer": "…"},
    wait_for_completion=True)`

    :param workflow_id: the workflow (`wfl_…`).
    :param fields: its input, as its trigger is configured; a mapping, empty if it takes none. Not kept by Airflow.
    :param wait_for_completion: whether to wait until Persona says when the run was completed.
    :param poke_interval: seconds between looks at the run.
    :param wait_timeout: seconds to wait at most; the task fails for good then, since a retry could start a second run.
        The run goes on: wait for it with `PersonaWorkflowRunSensor`.
    """

    operation_id = "create-a-workflow-run"
    private = ("fields",)
    in_path: ClassVar = {"workflow-id": "workflow_id"}
    mappings = ("fields",)
    in_body: ClassVar = {"data.attributes.fields": "fields"}

    def __init__(
        self,
        *,
        workflow_id: str,
        fields: Mapping[str, Any],
        wait_for_completion: bool = False,
        poke_interval: float = 15.0,
        wait_timeout: float = 3600.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workflow_id = workflow_id
        self.fields = fields
        self.wait_for_completion = wait_for_completion
        self.poke_interval = poke_interval
        self.wait_timeout = wait_timeout

        self._run_id: str | None = None

    def execute(self, context: Context) -> Any:
        """Start the run, and wait for it if asked to.

        :raises AirflowFailException: when it ended badly or not in time, or cannot be started.
        """
        answer = super().execute(context)
        if self.wait_for_completion and self._run_id is not None:
            with failing_for_good_when_useless_to_retry():
                self._wait_for(self._run_id)
        return answer

    def _result(self, entry: Operation, response: Response) -> Any:
        self._run_id = response.json()["data"]["id"]
        return super()._result(entry, response)

    def _wait_for(self, run_id: str) -> None:
        from airflow_provider_persona.api.errors import PersonaError
        from airflow_provider_persona.api.lifecycle import LIFECYCLES, Verdict

        runs = LIFECYCLES["workflow-run"]
        goal, request = runs.goal(), runs.request(run_id)
        deadline = time.monotonic() + self.wait_timeout
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
                if time.monotonic() + self.poke_interval > deadline:
                    raise AirflowFailException(
                        f"workflow run {run_id} was not over within {self.wait_timeout:g} s, and goes on; wait for it "
                        f"with PersonaWorkflowRunSensor(workflow_run_id={run_id!r}). Clearing this task starts another"
                    )
                time.sleep(self.poke_interval)
