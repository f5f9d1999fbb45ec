"""A change of a report's matches, monitoring and tags, and the calls that bring the report there.

A report without a match has none to dismiss, so such a call is left out. Which single matches were dismissed or
reviewed, and whether a report ran again, shows in no attribute.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar, Final, Literal

from pydantic import Field, model_validator

from airflow_provider_persona.api.models import Report
from airflow_provider_persona.api.object_change import Change
from airflow_provider_persona.api.steps import Step

_MONITORING: Final = {
    "active": "report-action-resume-continuous-monitoring",
    "paused": "report-action-pause-continuous-monitoring",
}

# What these calls do does not show, so neither the object nor the call's answer can deny it.
_unseen = partial(Step, "report", is_denied_by=lambda _: False, absence_tells=False)


class ReportChange(Change):
    """The wanted state of one report. What is not given stays as it is. Tags as for `Change`.

    :param dismiss_reason: dismisses matches, with this reason.
    :param dismiss_matches: ids of the entities or media to dismiss; all matches when it is left out, and an empty list
        is refused. Reports of adverse media need them.
    :param dismiss_type: whether these are ids of an `entity` or of `media`.
    :param review_matches: what `review-matches` takes as attributes.
    :param monitoring: `active` or `paused`.
    :param rerun: whether the report runs again. Each run is a new one, and may cost money.
    """

    resource_type = "report"
    tag_operations = ("reports-set-all-tags", "reports-add-tag", "reports-remove-tag")
    status: ClassVar[None] = None
    """The status of a report comes about by itself."""

    dismiss_reason: str | None = Field(default=None, min_length=1, repr=False)
    dismiss_matches: tuple[str, ...] = ()
    dismiss_type: Literal["entity", "media"] = "entity"
    review_matches: dict[str, Any] = Field(default_factory=dict, repr=False)
    monitoring: Literal["active", "paused"] | None = None
    rerun: bool = False

    @model_validator(mode="after")
    def _makes_sense(self) -> ReportChange:
        if self.dismiss_matches and self.dismiss_reason is None:
            raise ValueError("dismiss_matches needs a dismiss_reason")
        if self.dismiss_reason is not None and "dismiss_matches" in self.model_fields_set and not self.dismiss_matches:
            # Left out it means all of them. A query that finds none to dismiss gives NULL or an empty list.
            raise ValueError("dismiss_matches names no match; to dismiss all of them, give no such column")
        return self

    def _all_steps(self) -> Iterator[Step]:
        # Running again comes last: it finds matches anew.
        if self.dismiss_reason is not None:
            yield from _dismissals(self.dismiss_reason, self.dismiss_matches, self.dismiss_type)
        if self.review_matches:
            body = {"data": {"attributes": dict(self.review_matches)}}
            yield _unseen("matches", "review-matches", body, is_shown_by=lambda _: False, shows_in=())
        yield from self._tag_steps()
        if self.monitoring is not None:
            yield _monitor(self.monitoring)
        if self.rerun:
            yield _unseen("run", "report-action-re-run-report", {}, is_shown_by=lambda _: False, shows_in=())


def _dismissals(reason: str, matches: tuple[str, ...], kind: str) -> Iterator[Step]:
    named = [{"entity-id": match, "dismiss-type": kind} for match in matches] or [{}]
    for which in named:
        body = {"data": {"attributes": {"reason": reason, **which}}}
        yield _unseen(
            "matches",
            "dismiss-matches",
            body,
            is_shown_by=lambda report: report.attributes.has_match is False,
            shows_in=("has-match",),
        )


def _monitor(wanted: str) -> Step:
    def shown(report: Report) -> bool:
        return report.attributes.is_recurring is (wanted == "active")

    return Step("report", "monitoring", _MONITORING[wanted], {}, shown, ("is-recurring",))
