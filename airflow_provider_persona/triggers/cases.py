"""Triggers that watch cases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.api.document import Document
from airflow_provider_persona.api.lifecycle import CaseGoal, CountGoal
from airflow_provider_persona.api.models import Case
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.pagination import PAGE_SIZE, SeenPages, items_of, next_page
from airflow_provider_persona.tasks.wait_trigger import PersonaWaitTrigger, WaitEnded

if TYPE_CHECKING:
    from airflow_provider_persona.api.messages import Request
    from airflow_provider_persona.tasks.wait_trigger import Look


class PersonaCaseTrigger(PersonaWaitTrigger):
    """Watches one case until it has a wanted status.

    :param case_id: the case.
    :param target_statuses: statuses that end the wait well.
    :param failure_statuses: statuses that end it badly.
    :param resolved: whether a time of resolution ends it well.
    :param waiting: `persona_conn_id`, `poll_interval` and the other parameters of `PersonaWaitTrigger`.
    """

    watches = ("case_id", "target_statuses", "failure_statuses", "resolved")

    def __init__(
        self,
        case_id: str,
        target_statuses: list[str],
        failure_statuses: list[str],
        *,
        resolved: bool,
        **waiting: Any,
    ) -> None:
        super().__init__(**waiting)
        self.case_id = case_id
        self.target_statuses = target_statuses
        self.failure_statuses = failure_statuses
        self.resolved = resolved

    def look(self) -> Look:
        """Read the case's status."""
        read = operation("retrieve-case")
        query = {"fields[case]": ["status", "resolved-at"], "include": ""}
        document = Document.read((yield read.bind({"case-id": self.case_id}, query)), read.operation_id)
        case = Case.from_resource(document.resource and document.resource.members, read.operation_id)
        self.seen = f"{self.case_id} has status {case.status}"
        goal = CaseGoal(frozenset(self.target_statuses), frozenset(self.failure_statuses), self.resolved)
        return WaitEnded.by(goal.verdict(case), status=case.status)

    def wanted(self) -> str:
        """Return which statuses end the wait."""
        ends = [*self.target_statuses, *(["a time of resolution"] if self.resolved else [])]
        return " or ".join(ends)

    def result(self, ended: WaitEnded) -> str | None:
        """Return the status that ended the wait."""
        return ended.status

    def failure(self, ended: WaitEnded) -> str:
        """Say which status ended the wait."""
        return f"{self.case_id} has status {ended.status}, which the sensor takes for a failure"


class PersonaCasesTrigger(PersonaWaitTrigger):
    """Watches how many cases a filter finds.

    :param filters: by filter name, like `{"status": "Open"}`.
    :param at_most: the wait is over when so many remain, or fewer.
    :param at_least: the wait is over when so many are there, or more.
    :param waiting: `persona_conn_id`, `poll_interval` and the other parameters of `PersonaWaitTrigger`.
    """

    watches = ("filters", "at_most", "at_least")

    def __init__(
        self,
        filters: Mapping[str, str],
        *,
        at_most: int | None,
        at_least: int | None,
        **waiting: Any,
    ) -> None:
        super().__init__(**waiting)
        self.filters = dict(filters)
        self.at_most = at_most
        self.at_least = at_least

    def look(self) -> Look:
        """Count the cases, no further than the goal needs to know."""
        goal = CountGoal(self.at_most, self.at_least)
        filters = {f"filter[{name}]": value for name, value in self.filters.items()}
        query = {**filters, "fields[case]": "status", "page[size]": min(goal.enough, PAGE_SIZE)}
        request: Request | None = operation("list-all-cases").bind(query=query)
        seen_pages: SeenPages = set()
        found: set[str] = set()  # ids, and no count: an object may come on two pages while others are made
        while request is not None and len(found) < goal.enough:
            document = Document.read((yield request), request.operation_id)
            found.update(Case.from_resource(item, request.operation_id).id for item in items_of(request, document.body))
            request = next_page(request, document.body, seen_pages) if len(found) < goal.enough else None
        seen = min(len(found), goal.enough)
        # Names of filters only: a value may be a person's reference id.
        by = ", ".join(sorted(self.filters)) or "no filter"
        self.seen = f"{'At least ' if seen == goal.enough else ''}{seen} cases by {by}"
        return WaitEnded.by(goal.verdict(seen), count=seen)

    def wanted(self) -> str:
        """Return how many cases end the wait."""
        return f"at most {self.at_most}" if self.at_least is None else f"at least {self.at_least}"

    def result(self, ended: WaitEnded) -> int | None:
        """Return the number of cases that ended the wait."""
        return ended.count

    def failure(self, ended: WaitEnded) -> str:
        """Say how many cases there were; a number of cases never ends a wait badly by itself."""
        return f"the filter finds {ended.count} cases"
