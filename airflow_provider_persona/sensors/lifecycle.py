"""Sensors that wait for one object: an inquiry, a report, an importer, a workflow run and so on.

Which statuses end a wait stands in `api/lifecycle.py`; a sensor here names its resource and its arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_persona.tasks.declared_arguments import ArgumentGroup, argument
from airflow_provider_persona.tasks.wait_sensor import PersonaWaitSensor

if TYPE_CHECKING:
    from airflow_provider_persona.triggers.lifecycle import PersonaLifecycleTrigger


class _Statuses(ArgumentGroup):
    """The statuses that end a wait, where a life-cycle knows the usual ones."""

    target_statuses: str | Sequence[str] | None = argument(
        "a status, or several, that end the wait well; None for the usual ones.", default=None
    )
    failure_statuses: str | Sequence[str] | None = argument(
        "a status, or several, that fail the task at once; None for the usual ones that are not targets, an empty list "
        "for none.",
        default=None,
    )


class _NamedStatuses(_Statuses):
    """The same, where the targets must be named."""

    target_statuses: str | Sequence[str] = argument("a status, or several, that end the wait.")


def _trigger_of_its_object(self: Any, **waiting: Any) -> PersonaLifecycleTrigger:
    """Return the trigger that watches the object.

    The statuses are looked up here, so that an argument that makes no sense fails the task before its first request.

    :param self: a sensor of this module. Its argument with the object's id is named after `resource`, like `report_id`.
    :param waiting: the arguments of every `PersonaWaitTrigger`.
    :raises PersonaSettingsError: when the statuses make no sense.
    """
    from airflow_provider_persona.api.lifecycle import lifecycle_of
    from airflow_provider_persona.triggers.lifecycle import PersonaLifecycleTrigger

    given = self.given()
    goal = lifecycle_of(self.resource).goal(given["target_statuses"], given["failure_statuses"])
    targets, failures = sorted(goal.targets), sorted(goal.failures)
    resource_id = str(given[f"{self.resource.replace('-', '_')}_id"])
    return PersonaLifecycleTrigger(self.resource, resource_id, targets or None, failures, **waiting)


class PersonaInquirySensor(PersonaWaitSensor):
    """Waits until the person is through with an inquiry.

    By default `completed`, `needs_review` and `approved` end the wait; `failed`, `expired` and `declined` fail the
    task. For a decision name it: `target_statuses=["approved", "declined"]`. A resumed inquiry leaves `expired` again;
    to wait on for that give `failure_statuses=["failed", "declined"]`.

    Returns to XCom: `id`, `status`; nothing else of the object.
    """

    resource: ClassVar = "inquiry"
    inquiry_id: str = argument("the inquiry (`inq_…`).")
    groups = (_Statuses,)

    trigger = _trigger_of_its_object


class PersonaInquirySessionSensor(PersonaWaitSensor):
    """Waits until a session of an inquiry is over.

    By default `expired` and `canceled` end the wait; `target_statuses="active"` waits for its beginning.

    Returns to XCom: `id`, `status`; nothing else of the object.
    """

    resource: ClassVar = "inquiry-session"
    inquiry_session_id: str = argument("the inquiry session (`iqse_…`).")
    groups = (_Statuses,)

    trigger = _trigger_of_its_object


class PersonaVerificationSensor(PersonaWaitSensor):
    """Waits until a verification of any kind is passed.

    By default `passed` ends the wait; `failed`, `skipped` and `canceled` fail the task. `requires_retry` and the
    tentative statuses mean "not yet".

    Returns to XCom: `id`, `status`; nothing else of the object.
    """

    resource: ClassVar = "verification"
    verification_id: str = argument("the verification (`ver_…`).")
    groups = (_Statuses,)

    trigger = _trigger_of_its_object


class PersonaReportSensor(PersonaWaitSensor):
    """Waits until a report is ready.

    By default `ready` ends the wait; `errored` fails the task. Ready is not clean: a report that found something is
    ready too. A branch can look at `has_match`.

    Returns to XCom: `id`, `status`, `has_match`; nothing else of the object.
    """

    resource: ClassVar = "report"
    report_id: str = argument("the report (`rep_…`).")
    fail_on_match: bool = argument(
        "fail the task when the report found something, or does not say whether it did.",
        default=False,
        is_template=False,
    )
    groups = (_Statuses,)

    trigger = _trigger_of_its_object

    def objection(self, result: dict[str, Any]) -> str | None:
        """Object to a match where `fail_on_match` says so, and to a report that does not tell."""
        match = result["has_match"]
        if not self.given()["fail_on_match"] or match is False:
            return None
        return f"report {result['id']} {'has a match' if match else 'does not tell whether it has a match'}"


class PersonaTransactionSensor(PersonaWaitSensor):
    """Waits until a transaction has a wanted status.

    Its statuses are those that your transaction type defines, compared as given, so the targets must be named.

    Returns to XCom: `id`, `status`; nothing else of the object.
    """

    resource: ClassVar = "transaction"
    transaction_id: str = argument("the transaction (`txn_…`).")
    groups = (_NamedStatuses,)

    trigger = _trigger_of_its_object


class PersonaWorkflowRunSensor(PersonaWaitSensor):
    """Waits until a workflow run has ended.

    Persona publishes no list of its statuses, so by default its time of completion ends the wait, whatever the status;
    `errored`, `failed` and `canceled` fail the task.

    Returns to XCom: `id`, `status`; nothing else of the object.
    """

    resource: ClassVar = "workflow-run"
    workflow_run_id: str = argument("the workflow run (`wfr_…`).")
    groups = (_Statuses,)

    trigger = _trigger_of_its_object


class PersonaImporterSensor(PersonaWaitSensor):
    """Waits until an import is ready.

    By default `ready` ends the wait; `errored` fails the task. An import that is ready may have refused rows.

    Returns to XCom: `id`, `status`, `successful_count`, `duplicate_count`, `error_count`; nothing else of the object.
    """

    resource: ClassVar = "importer"
    importer_id: str = argument("the importer (`mprt_…`).")
    max_errors: int | None = argument(
        "rows in error that are allowed; with more, or when their number is not known, the task fails. None allows any "
        "number.",
        default=0,
        is_template=False,
    )
    groups = (_Statuses,)

    trigger = _trigger_of_its_object

    def objection(self, result: dict[str, Any]) -> str | None:
        """Object to more rows in error than `max_errors`."""
        errors, allowed = result["error_count"], self.given()["max_errors"]
        if allowed is None or (errors is not None and errors <= allowed):
            return None
        found = "an unknown number of" if errors is None else errors
        return f"importer {result['id']} has {found} rows in error, {allowed} are allowed"


class PersonaDocumentSensor(PersonaWaitSensor):
    """Waits until a document is processed.

    By default `processed` ends the wait; `errored` fails the task.

    Returns to XCom: `id`, `status`; nothing else of the object.
    """

    resource: ClassVar = "document"
    document_id: str = argument("the document (`doc_…`).")
    groups = (_Statuses,)

    trigger = _trigger_of_its_object


class PersonaListSensor(PersonaWaitSensor):
    """Waits until a list is in use, or no longer.

    By default `active` ends the wait; `archived` fails the task. `target_statuses="archived"` waits for that.

    Returns to XCom: `id`, `status`; nothing else of the object.
    """

    resource: ClassVar = "list"
    list_id: str = argument("the list (`lst_…`).")
    groups = (_Statuses,)

    trigger = _trigger_of_its_object


class PersonaGraphQuerySensor(PersonaWaitSensor):
    """Waits until a graph query is answered.

    By default `completed` ends the wait; `errored`, `cancelled` and `timed_out` fail the task. The answer itself is
    personal data and is not read here.

    Returns to XCom: `id`, `status`; nothing else of the object.
    """

    resource: ClassVar = "graph-query"
    graph_query_id: str = argument("the graph query (`grphq_…`).")
    groups = (_Statuses,)

    trigger = _trigger_of_its_object
