"""Sensors that wait for one object with a life-cycle: inquiry, report, importer, workflow run and so on.

Which statuses end a wait stands in `api.lifecycle`; here are a name, an argument and what is particular for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_persona.sensors.waiting import PersonaWaitSensor

if TYPE_CHECKING:
    from airflow_provider_persona.api.lifecycle import Lifecycle, StatusGoal
    from airflow_provider_persona.triggers.waiting import PersonaWaitTrigger, WaitEnded

_TEMPLATES: tuple[str, ...] = ("target_statuses", "failure_statuses", "persona_conn_id")


class PersonaLifecycleSensor(PersonaWaitSensor):
    """What the sensors of this module share; each of them takes the id of its object besides.

    A status that is neither a target nor a failure means "not yet", unknown ones included, unless it is known that no
    other follows it: then the task fails at once, as it does for a failure.

    Returns to XCom: `id`, `status`, and what is named at the class; nothing else of the object.

    :param target_statuses: a status, or several, that end the wait well; None for the usual ones.
    :param failure_statuses: a status, or several, that fail the task at once; None for the usual ones that are not
        targets, an empty list for none.
    :param persona_conn_id: connection of type `persona`.
    :param deferrable: wait in the triggerer instead of a worker. The task looks once before it defers.
    :param first_poll_after: seconds before the first look in the triggerer; by default `poke_interval`, and no less
        than 15 s.

    `poke_interval`, `timeout`, `mode` and `soft_fail` are those of every sensor.
    """

    resource: ClassVar[str]
    """Name of the resource in `api.lifecycle.LIFECYCLES`."""

    def __init__(
        self,
        *,
        target_statuses: str | Sequence[str] | None = None,
        failure_statuses: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target_statuses = target_statuses
        self.failure_statuses = failure_statuses

    @property
    def resource_id(self) -> str:
        """The id of the object, as rendered; its argument is called after the resource, like `report_id`."""
        return str(getattr(self, f"{self.resource.replace('-', '_')}_id"))

    @property
    def lifecycle(self) -> Lifecycle:
        """The states of the resource."""
        from airflow_provider_persona.api.lifecycle import lifecycle_of

        return lifecycle_of(self.resource)

    @property
    def goal(self) -> StatusGoal:
        """What is waited for, as rendered."""
        return self.lifecycle.goal(self.target_statuses, self.failure_statuses)

    def look(self) -> WaitEnded | None:
        """Read the object's state once."""
        from airflow_provider_persona.triggers.waiting import WaitEnded

        goal, lifecycle = self.goal, self.lifecycle
        state = lifecycle.state(self.hook.client.send(lifecycle.request(self.resource_id)))
        self.log.info("%s has status %s", self.resource_id, state.status)
        return WaitEnded.by(goal.verdict(state), status=state.status, facts=dict(state.facts))

    def trigger(self, **waiting: Any) -> PersonaWaitTrigger:
        """Return the trigger that watches the object."""
        from airflow_provider_persona.triggers.lifecycle import PersonaLifecycleTrigger

        goal = self.goal
        targets, failures = sorted(goal.targets), sorted(goal.failures)
        return PersonaLifecycleTrigger(self.resource, self.resource_id, targets or None, failures, **waiting)

    def take(self, ended: WaitEnded) -> dict[str, Any]:
        """Return what the object came to.

        :raises AirflowFailException: when the wait ended badly, or `objection` has one.
        """
        facts = {name: (ended.facts or {}).get(name) for name in self.lifecycle.facts}
        reason = self.goal.reason(ended.status) if ended.ended == "failed" else self.objection(facts)
        if reason is not None:
            raise AirflowFailException(f"{self.resource} {self.resource_id} {reason}")
        found = {name.replace("-", "_"): value for name, value in facts.items()}
        return {"id": self.resource_id, "status": ended.status, **found}

    def objection(self, facts: dict[str, bool | int | None]) -> str | None:  # noqa: ARG002 - for those that override it
        """Return why an object that reached its target is not good enough all the same; None when it is."""
        return None


class PersonaInquirySensor(PersonaLifecycleSensor):
    """Waits until the person is through with an inquiry.

    By default `completed`, `needs_review` and `approved` end the wait; `failed`, `expired` and `declined` fail the
    task. For a decision name it: `target_statuses=["approved", "declined"]`. A resumed inquiry leaves `expired` again;
    to wait on for that give `failure_statuses=["failed", "declined"]`.

    :param inquiry_id: the inquiry (`inq_…`).

    The other parameters are those of `PersonaLifecycleSensor`.
    """

    resource = "inquiry"
    template_fields: Sequence[str] = ("inquiry_id", *_TEMPLATES)

    def __init__(self, *, inquiry_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inquiry_id = inquiry_id


class PersonaInquirySessionSensor(PersonaLifecycleSensor):
    """Waits until a session of an inquiry is over.

    By default `expired` and `canceled` end the wait; `target_statuses="active"` waits for its beginning.

    :param inquiry_session_id: the inquiry session (`iqse_…`).

    The other parameters are those of `PersonaLifecycleSensor`.
    """

    resource = "inquiry-session"
    template_fields: Sequence[str] = ("inquiry_session_id", *_TEMPLATES)

    def __init__(self, *, inquiry_session_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inquiry_session_id = inquiry_session_id


class PersonaVerificationSensor(PersonaLifecycleSensor):
    """Waits until a verification of any kind is passed.

    By default `passed` ends the wait; `failed`, `skipped` and `canceled` fail the task. `requires_retry` and the
    tentative statuses mean "not yet".

    :param verification_id: the verification (`ver_…`).

    The other parameters are those of `PersonaLifecycleSensor`.
    """

    resource = "verification"
    template_fields: Sequence[str] = ("verification_id", *_TEMPLATES)

    def __init__(self, *, verification_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.verification_id = verification_id


class PersonaReportSensor(PersonaLifecycleSensor):
    """Waits until a report is ready.

    By default `ready` ends the wait; `errored` fails the task. Ready is not clean: a report that found something is
    ready too. Returns `has_match` to XCom besides, so that a branch can tell.

    :param report_id: the report (`rep_…`).
    :param fail_on_match: fail the task when the report found something, or does not say whether it did.

    The other parameters are those of `PersonaLifecycleSensor`.
    """

    resource = "report"
    template_fields: Sequence[str] = ("report_id", *_TEMPLATES)

    def __init__(self, *, report_id: str, fail_on_match: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.report_id = report_id
        self.fail_on_match = fail_on_match

    def objection(self, facts: dict[str, bool | int | None]) -> str | None:
        """Object to a match where that is wished, and to not knowing of one."""
        match = facts["has-match"]
        if not self.fail_on_match or match is False:
            return None
        return "has a match" if match else "does not tell whether it has a match"


class PersonaTransactionSensor(PersonaLifecycleSensor):
    """Waits until a transaction has a wanted status.

    Its statuses are those that your transaction type defines, compared as given, so the targets must be named.

    :param transaction_id: the transaction (`txn_…`).
    :param target_statuses: a status, or several, that end the wait.

    The other parameters are those of `PersonaLifecycleSensor`.
    """

    resource = "transaction"
    template_fields: Sequence[str] = ("transaction_id", *_TEMPLATES)

    def __init__(self, *, transaction_id: str, target_statuses: str | Sequence[str], **kwargs: Any) -> None:
        super().__init__(target_statuses=target_statuses, **kwargs)
        self.transaction_id = transaction_id


class PersonaWorkflowRunSensor(PersonaLifecycleSensor):
    """Waits until a workflow run has ended.

    Persona publishes no list of its statuses, so by default its time of completion ends the wait, whatever the status;
    `errored`, `failed` and `canceled` fail the task.

    :param workflow_run_id: the workflow run (`wfr_…`).

    The other parameters are those of `PersonaLifecycleSensor`.
    """

    resource = "workflow-run"
    template_fields: Sequence[str] = ("workflow_run_id", *_TEMPLATES)

    def __init__(self, *, workflow_run_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.workflow_run_id = workflow_run_id


class PersonaImporterSensor(PersonaLifecycleSensor):
    """Waits until an import is ready.

    By default `ready` ends the wait; `errored` fails the task. Ready may hold rows that were not taken. Returns
    `successful_count`, `duplicate_count` and `error_count` to XCom besides.

    :param importer_id: the importer (`mprt_…`).
    :param max_errors: rows in error that are borne; with more, or when their number is not told, the task fails. None
        bears any number.

    The other parameters are those of `PersonaLifecycleSensor`.
    """

    resource = "importer"
    template_fields: Sequence[str] = ("importer_id", *_TEMPLATES)

    def __init__(self, *, importer_id: str, max_errors: int | None = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.importer_id = importer_id
        self.max_errors = max_errors

    def objection(self, facts: dict[str, bool | int | None]) -> str | None:
        """Object to more rows in error than are borne."""
        errors = facts["error-count"]
        if self.max_errors is None or (errors is not None and errors <= self.max_errors):
            return None
        return f"has {'an unknown number of' if errors is None else errors} rows in error, {self.max_errors} are borne"


class PersonaDocumentSensor(PersonaLifecycleSensor):
    """Waits until a document is processed.

    By default `processed` ends the wait; `errored` fails the task.

    :param document_id: the document (`doc_…`).

    The other parameters are those of `PersonaLifecycleSensor`.
    """

    resource = "document"
    template_fields: Sequence[str] = ("document_id", *_TEMPLATES)

    def __init__(self, *, document_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.document_id = document_id


class PersonaListSensor(PersonaLifecycleSensor):
    """Waits until a list is in use, or no longer.

    By default `active` ends the wait; `archived` fails the task. `target_statuses="archived"` waits for that.

    :param list_id: the list (`lst_…`).

    The other parameters are those of `PersonaLifecycleSensor`.
    """

    resource = "list"
    template_fields: Sequence[str] = ("list_id", *_TEMPLATES)

    def __init__(self, *, list_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.list_id = list_id


class PersonaGraphQuerySensor(PersonaLifecycleSensor):
    """Waits until a graph query is answered.

    By default `completed` ends the wait; `errored`, `cancelled` and `timed_out` fail the task. The answer itself is
    personal data and is not read here.

    :param graph_query_id: the graph query (`grphq_…`).

    The other parameters are those of `PersonaLifecycleSensor`.
    """

    resource = "graph-query"
    template_fields: Sequence[str] = ("graph_query_id", *_TEMPLATES)

    def __init__(self, *, graph_query_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.graph_query_id = graph_query_id
