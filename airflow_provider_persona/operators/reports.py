"""Operators on reports.

Every operator takes the parameters of `PersonaCallOperator` too: `result` and `persona_conn_id`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from airflow_provider_persona.operators.named import NamedOperator, PrintOperator


class PersonaCreateReportOperator(NamedOperator):
    """Orders a report, and returns its id. Wait for it with a sensor; `ready` does not mean that nothing was found.

    Example: `PersonaCreateReportOperator(task_id="screen", report_type="report/watchlist",
    query={"name-first": "{{ … }}", "name-last": "{{ … }}"}, report_template_id="rptp_…")`

    :param report_type: what to look for, like `report/watchlist` or `report/adverse-media`.
    :param query: whom or what to look up, by Persona's names for this type. Not kept by Airflow.
    :param report_template_id: its template (`rptp_…`).
    :param account_id: account that it is for.
    :param reference_id: your own id of the person. Not kept by Airflow.
    :param meta: further options by Persona's names, like `{"auto-create-account": False}`. Not kept by Airflow.
    """

    operation_id = "create-a-report"
    private = ("query", "reference_id", "meta")
    mappings = ("query", "meta")
    in_body: ClassVar = {
        "data.type": "report_type",
        "data.attributes.query": "query",
        "data.attributes.report-template-id": "report_template_id",
        "data.attributes.account-id": "account_id",
        "data.attributes.reference-id": "reference_id",
        "meta": "meta",
    }

    def __init__(
        self,
        *,
        report_type: str,
        query: Mapping[str, Any],
        report_template_id: str | None = None,
        account_id: str | None = None,
        reference_id: str | None = None,
        meta: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.report_type = report_type
        self.query = query
        self.report_template_id = report_template_id
        self.account_id = account_id
        self.reference_id = reference_id
        self.meta = meta


class ReportOperator(NamedOperator):
    """What the operators on one report share.

    :param report_id: the report (`rep_…`).
    """

    in_path: ClassVar = {"report-id": "report_id"}

    def __init__(self, *, report_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.report_id = report_id


class PersonaRerunReportOperator(ReportOperator):
    """Runs a report again, under the same id.

    Example: `PersonaRerunReportOperator(task_id="again", report_id="rep_…")`

    :param report_id: the report (`rep_…`).
    """

    operation_id = "report-action-re-run-report"


class PersonaDismissReportMatchesOperator(ReportOperator):
    """Dismisses what a report found, as not being about this person.

    Example: `PersonaDismissReportMatchesOperator(task_id="dismiss", report_id="rep_…", reason="other birthdate")`

    :param report_id: the report (`rep_…`).
    :param reason: why, for people. Not kept by Airflow.
    :param entity_id: the match; only reports of adverse media need it, of people and of businesses.
    :param dismiss_type: `entity` for all about somebody, or `media` for one article; needed with `entity_id`.
    """

    operation_id = "dismiss-matches"
    private = ("reason",)
    in_body: ClassVar = {
        "data.attributes.reason": "reason",
        "data.attributes.entity-id": "entity_id",
        "data.attributes.dismiss-type": "dismiss_type",
    }

    def __init__(
        self, *, reason: str, entity_id: str | None = None, dismiss_type: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.reason = reason
        self.entity_id = entity_id
        self.dismiss_type = dismiss_type


class PersonaPauseReportMonitoringOperator(ReportOperator):
    """Stops the continuous monitoring of a report, until it is resumed.

    Example: `PersonaPauseReportMonitoringOperator(task_id="pause", report_id="rep_…")`

    :param report_id: the report (`rep_…`).
    """

    operation_id = "report-action-pause-continuous-monitoring"


class PersonaResumeReportMonitoringOperator(ReportOperator):
    """Resumes the continuous monitoring of a report.

    Example: `PersonaResumeReportMonitoringOperator(task_id="resume", report_id="rep_…")`

    :param report_id: the report (`rep_…`).
    """

    operation_id = "report-action-resume-continuous-monitoring"


class PersonaPrintReportOperator(ReportOperator, PrintOperator):
    """Prints a report as a PDF into a file, and returns `uri`, `size` in bytes and `content_type`.

    Example: `PersonaPrintReportOperator(task_id="print", report_id="rep_…", output_path="/mnt/audit/")`

    :param report_id: the report (`rep_…`).
    :param output_path: a local path or an address in an object store; with a slash at its end a folder.
    :param max_bytes: bytes that the file may have at most.
    """

    operation_id = "print-report-pdf"
