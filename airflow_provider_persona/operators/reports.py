"""Operators on reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.tasks.arguments import JsonObject, Text, is_given
from airflow_provider_persona.tasks.call_arguments import attribute, body, part, path
from airflow_provider_persona.tasks.call_operator import PersonaCallOperator
from airflow_provider_persona.tasks.files import LIMIT_DOC, MAX_BYTES, OUTPUT_DOC

if TYPE_CHECKING:
    from airflow_provider_persona.tasks.call_checks import Call


class PersonaCreateReportOperator(PersonaCallOperator):
    """Orders a report, and returns its id. Wait for it with a sensor; `ready` does not mean that nothing was found.

    Example: `PersonaCreateReportOperator(task_id="screen", report_type="report/watchlist",
    query={"name-first": "{{ … }}", "name-last": "{{ … }}"}, report_template_id="rptp_…")`
    """

    operation_id = "create-a-report"
    report_type: Text = body("data.type", "what to look for, like `report/watchlist` or `report/adverse-media`.")
    query: JsonObject = attribute("whom or what to look up, by Persona's names for this type.", private=True)
    report_template_id: Text | None = attribute("its template (`rptp_…`).", default=None)
    account_id: Text | None = attribute("account that it is for.", default=None)
    reference_id: Text | None = attribute("your own id of the person.", default=None, private=True)
    meta: JsonObject | None = body(
        "meta",
        'further options by Persona\'s names, like `{"auto-create-account": False}`.',
        default=None,
        private=True,
    )


class PersonaRerunReportOperator(PersonaCallOperator):
    """Runs a report again, under the same id.

    Example: `PersonaRerunReportOperator(task_id="again", report_id="rep_…")`
    """

    operation_id = "report-action-re-run-report"
    report_id: Text = path("report-id", "the report (`rep_…`).")


class PersonaDismissReportMatchesOperator(PersonaCallOperator):
    """Dismisses the matches of a report, because they are not about this person.

    Example: `PersonaDismissReportMatchesOperator(task_id="dismiss", report_id="rep_…", reason="other birthdate")`
    """

    operation_id = "dismiss-matches"
    report_id: Text = path("report-id", "the report (`rep_…`).")
    reason: Text = attribute("why, for people.", private=True)
    entity_id: Text | None = attribute(
        "the match; only reports of adverse media need it, of people and of businesses.", default=None
    )
    dismiss_type: Text | None = attribute(
        "`entity` for all about somebody, or `media` for one article; needed with `entity_id`.", default=None
    )

    def call_of(self, values: Mapping[str, Any], operation_id: str | None = None) -> Call:
        """Return the call.

        :raises BadCallError: when `dismiss_type` says of what kind the match is, and no match is named: an `entity_id`
            that comes from another task may be nothing, and without one Persona dismisses all matches.
        """
        if values["dismiss_type"] is not None and not is_given(values["entity_id"]):
            raise BadCallError("dismiss_type goes with entity_id, which is not given; without both, all are dismissed")
        return super().call_of(values, operation_id)


class PersonaPauseReportMonitoringOperator(PersonaCallOperator):
    """Stops the continuous monitoring of a report, until it is resumed.

    Example: `PersonaPauseReportMonitoringOperator(task_id="pause", report_id="rep_…")`
    """

    operation_id = "report-action-pause-continuous-monitoring"
    report_id: Text = path("report-id", "the report (`rep_…`).")


class PersonaResumeReportMonitoringOperator(PersonaCallOperator):
    """Resumes the continuous monitoring of a report.

    Example: `PersonaResumeReportMonitoringOperator(task_id="resume", report_id="rep_…")`
    """

    operation_id = "report-action-resume-continuous-monitoring"
    report_id: Text = path("report-id", "the report (`rep_…`).")


class PersonaPrintReportOperator(PersonaCallOperator):
    """Prints a report as a PDF into a file, and returns `uri`, `size` in bytes and `content_type`.

    Example: `PersonaPrintReportOperator(task_id="print", report_id="rep_…", output_path="/mnt/audit/")`
    """

    operation_id = "print-report-pdf"
    report_id: Text = path("report-id", "the report (`rep_…`).")
    output_path: Text = part("output_path", OUTPUT_DOC)
    max_bytes: int = part("max_bytes", LIMIT_DOC, default=MAX_BYTES, is_template=False)
