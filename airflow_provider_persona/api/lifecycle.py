"""The statuses that end a wait, with success or failure. After any other status the wait goes on.

The customer defines the statuses of cases, so cases have goals of their own: `CaseGoal` for one case, `CountGoal` for a
number of cases. The other resources with statuses are entries of one table, `LIFECYCLES`, and have a `StatusGoal`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from airflow_provider_persona.api.document import MISSING, Document, Resource
from airflow_provider_persona.api.errors import PersonaAnswerError, PersonaSettingsError
from airflow_provider_persona.api.literals import read_literal
from airflow_provider_persona.api.messages import Request, Response
from airflow_provider_persona.api.models import Case, is_label
from airflow_provider_persona.api.operations import operation


class Verdict(StrEnum):
    """The state of a wait."""

    REACHED = "reached"
    FAILED = "failed"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class CaseGoal:
    """The goal of a wait for one case.

    The statuses of a case are labels that the customer chose, and a case does not tell which of them are final. So
    either the labels are named, or a time of resolution ends the wait.

    :param target_statuses: statuses that end the wait with success, spelt as in Persona.
    :param failure_statuses: statuses that end it with failure.
    :param resolved: whether a time of resolution ends it with success.
    """

    target_statuses: frozenset[str] = frozenset()
    failure_statuses: frozenset[str] = frozenset()
    resolved: bool = False

    def verdict(self, case: Case) -> Verdict:
        """Return the state of the wait for a case as just read."""
        if case.status in self.failure_statuses:
            return Verdict.FAILED
        if case.status in self.target_statuses or (self.resolved and case.is_resolved):
            return Verdict.REACHED
        return Verdict.WAITING


@dataclass(frozen=True, slots=True)
class CountGoal:
    """The goal of a wait for the number of cases that a filter finds. It has one of the two bounds.

    :param at_most: the wait ends when there are at most so many.
    :param at_least: the wait ends when there are at least so many.
    :raises ValueError: when both bounds or none are given, or the bound makes no sense.
    """

    at_most: int | None = None
    at_least: int | None = None

    def __post_init__(self) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("give either at_most or at_least")
        if (self.at_most or 0) < 0 or (self.at_least is not None and self.at_least < 1):
            raise ValueError("at_most is 0 or more, at_least is 1 or more")

    @property
    def enough(self) -> int:
        """The number of cases after which the count can stop."""
        return self.at_least if self.at_least is not None else (self.at_most or 0) + 1

    def verdict(self, seen: int) -> Verdict:
        """Return the state of the wait.

        :param seen: number of cases that were found; a count may stop at `enough`.
        """
        reached = seen >= self.at_least if self.at_least is not None else seen <= (self.at_most or 0)
        return Verdict.REACHED if reached else Verdict.WAITING


def labels(given: Iterable[str] | str | None) -> frozenset[str]:
    """Return the statuses that an argument names.

    :param given: one status, several, or the text of a list, as a template renders it.
    :raises PersonaSettingsError: when a text looks like several statuses. Taken for one, it would match no case, and a
        guard with it would guard nothing.
    """
    if given is None:
        return frozenset()
    if isinstance(given, str):
        text = given.strip()
        if text.startswith(("[", "(", "{")):
            try:
                given = read_literal(text)
            except ValueError:
                raise _no_labels() from None
        elif any(mark in text for mark in ",;\n"):
            raise _no_labels()
        else:
            given = [text]
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise _no_labels()
    found = list(given)
    if not all(isinstance(label, str) and label.strip() for label in found):
        raise _no_labels()
    return frozenset(label.strip() for label in found)


def _no_labels() -> PersonaSettingsError:
    return PersonaSettingsError("statuses are given as one text, or as a list of texts like ['Approved', 'Declined']")


@dataclass(frozen=True, slots=True)
class ResourceState:
    """The state of one object, without any other attribute.

    :param status: its status; None when the answer has none.
    :param ended: whether it has an end time, for resources with `Lifecycle.ended_at`.
    :param facts: the attributes of `Lifecycle.facts`, by name; None where the answer lacks one.
    """

    status: str | None
    ended: bool = False
    facts: Mapping[str, bool | int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The statuses of one resource, and the operation that reads them.

    The lists are open: Persona adds statuses without a new version of its API.

    :param resource: its name, for example `inquiry-session`.
    :param operation_id: the operation that reads one object.
    :param reached: statuses that end a wait with success by default; empty when the caller must name them.
    :param failed: statuses that end a wait with failure by default.
    :param final: statuses that no other status follows.
    :param passing: further known statuses, so that a misspelt argument is noticed.
    :param ended_at: attribute with the end time, for a resource without published statuses.
    :param facts: further attributes to read, each true, false or a number.
    :param kinds: types that an object can have, for a read of few attributes; empty for the resource's name. An object
        of another type comes with all attributes, which are dropped here.
    """

    resource: str
    operation_id: str
    reached: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    final: frozenset[str] = frozenset()
    passing: frozenset[str] = frozenset()
    ended_at: str | None = None
    facts: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    @property
    def known(self) -> frozenset[str]:
        """All known statuses."""
        return self.reached | self.failed | self.final | self.passing

    def request(self, resource_id: str) -> Request:
        """Return the request that reads the state of one object, without other attributes and related objects.

        :raises BadCallError: when the id cannot be part of a path.
        """
        read = operation(self.operation_id)
        wanted = ["status", *([self.ended_at] if self.ended_at else []), *self.facts]
        sparse = {f"fields[{kind}]": wanted for kind in self.kinds or (self.resource,)}
        return read.bind({read.path_parameters[0]: resource_id}, {"include": "", **sparse})

    def state(self, response: Response) -> ResourceState:
        """Return the state that an answer shows.

        :raises PersonaAnswerError: when it shows none, because the wait would then never end.
        """
        try:
            found = Document.read(response, self.operation_id).resource
        except PersonaAnswerError:
            found = None
        resource = found or Resource({})
        status = resource.text("status")
        if status is not None and not is_label(status):
            status = None
        ended = None if self.ended_at is None else resource.attribute(self.ended_at, MISSING)
        if status is None and (self.ended_at is None or ended is MISSING):
            raise PersonaAnswerError(
                f"the answer to {self.operation_id} shows no status; check whether the API key's attribute blocklist "
                "withholds it",
                status=response.status,
                request_id=response.request_id,
                operation_id=self.operation_id,
            )
        facts = {name: resource.attribute(name) for name in self.facts}
        return ResourceState(
            status=status,
            ended=ended is not None and ended is not MISSING,
            facts={name: value if isinstance(value, bool | int) else None for name, value in facts.items()},
        )

    def goal(
        self,
        target_statuses: Iterable[str] | str | None = None,
        failure_statuses: Iterable[str] | str | None = None,
    ) -> StatusGoal:
        """Return the goal of a wait.

        :param target_statuses: statuses that end it with success; None for the default.
        :param failure_statuses: statuses that end it with failure; None for the default without the targets, empty for
            none.
        :raises PersonaSettingsError: when a status is misspelt or in both lists, or none is named where that is needed.
        """
        named, refused = labels(target_statuses), labels(failure_statuses)
        for label in sorted(named | refused):
            self._check_spelling(label)
        targets = named or self.reached
        if not targets and self.ended_at is None:
            raise PersonaSettingsError(f"you define the statuses of a {self.resource}: name those to wait for")
        if both := targets & refused:
            raise PersonaSettingsError(f"{', '.join(sorted(both))} cannot be both a target and a failure")
        return StatusGoal(self, targets, self.failed - targets if failure_statuses is None else refused)

    def _check_spelling(self, label: str) -> None:
        meant = label.strip().lower().replace("-", "_").replace(" ", "_")
        if label not in self.known and meant in self.known:
            raise PersonaSettingsError(f"{self.resource} has no status {label!r}; did you mean {meant!r}?")


@dataclass(frozen=True, slots=True)
class StatusGoal:
    """The goal of a wait for one object; `Lifecycle.goal` makes it.

    :param lifecycle: the resource.
    :param targets: statuses that end the wait with success; empty when an end time does, whatever the status.
    :param failures: statuses that end it with failure.
    """

    lifecycle: Lifecycle
    targets: frozenset[str]
    failures: frozenset[str]

    def verdict(self, state: ResourceState) -> Verdict:
        """Return the state of the wait. A final status that is no target is a failure: no other status follows it."""
        if state.status in self.failures:
            return Verdict.FAILED
        if state.status in self.targets or (state.ended and not self.targets):
            return Verdict.REACHED
        return Verdict.FAILED if state.ended or state.status in self.lifecycle.final else Verdict.WAITING

    def reason(self, status: str | None) -> str:
        """Return in words why a wait failed with a status."""
        if status in self.failures:
            return f"has status {status}, which counts as a failure"
        return f"ended with status {status}, which none of {', '.join(sorted(self.targets))} follows"


def _statuses(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _kinds(of: str, names: str) -> tuple[str, ...]:
    return tuple(f"{of}/{name}" for name in names.split())


LIFECYCLES: Final[Mapping[str, Lifecycle]] = {
    each.resource: each
    for each in (
        Lifecycle(
            "inquiry",
            "retrieve-an-inquiry",
            # A workflow may change a completed inquiry at any moment, so a read may find the status after that.
            reached=_statuses("completed needs_review approved"),
            failed=_statuses("failed expired declined"),
            final=_statuses("failed approved declined"),  # an expired one can be resumed
            passing=_statuses("created pending"),
        ),
        Lifecycle(
            "inquiry-session",
            "retrieve-an-inquiry-session",
            reached=_statuses("expired canceled"),  # `canceled` is named by events only
            final=_statuses("expired canceled"),
            passing=_statuses("new active"),
        ),
        Lifecycle(
            "verification",
            "retrieve-a-verification",
            reached=_statuses("passed"),
            failed=_statuses("failed skipped canceled"),
            final=_statuses("passed failed skipped canceled"),
            passing=_statuses("initiated submitted confirmed requires_retry tentatively_passed tentatively_failed"),
            # The usual types. A query with all 44 would be too long for many firewalls.
            kinds=_kinds(
                "verification",
                "aamva database database-business database-ecbsv database-phone-carrier database-serpro "
                "database-standard database-tin document email-address government-id government-id-nfc phone-number "
                "selfie",
            ),
        ),
        Lifecycle(
            "report",
            "retrieve-a-report",
            reached=_statuses("ready"),
            failed=_statuses("errored"),
            final=_statuses("ready errored"),
            passing=_statuses("pending"),
            facts=("has-match",),
            kinds=_kinds(
                "report",
                "address-lookup adverse-media business-adverse-media business-associated-persons business-lookup "
                "business-registrations-lookup business-watchlist crypto-address-watchlist email-address "
                "integration/sentilink-scores phone-number politically-exposed-person profile "
                "profile-non-authoritative social-media synthetic watchlist",
            ),
        ),
        # Persona defines `created` only. The customer defines the others, for each type of transaction.
        Lifecycle("transaction", "retrieve-a-transaction"),
        Lifecycle(
            "workflow-run",
            "retrieve-a-workflow-run",
            # Persona publishes no list of statuses, but an event `workflow-run.errored`.
            failed=_statuses("errored failed canceled"),
            passing=_statuses("in_progress"),
            ended_at="completed-at",
        ),
        Lifecycle(
            "importer",
            "retrieve-an-importer",
            reached=_statuses("ready"),
            failed=_statuses("errored"),
            final=_statuses("ready errored"),
            passing=_statuses("pending"),
            facts=("successful-count", "duplicate-count", "error-count"),
            kinds=_kinds(
                "importer",
                "account list-item/email-address list-item/field list-item/geolocation "
                "list-item/government-id-number list-item/ip-address list-item/name list-item/phone-number",
            ),
        ),
        Lifecycle(
            "document",
            "retrieve-a-document",
            reached=_statuses("processed"),
            failed=_statuses("errored"),
            final=_statuses("processed errored"),
            passing=_statuses("initiated submitted pending"),  # `pending` is named by an event only
            kinds=_kinds("document", "generic government-id government-id-nfc mdoc"),
        ),
        # No kinds: a list has only a name, a status and times, and none of them is personal.
        Lifecycle(
            "list",
            "retrieve-a-list",
            reached=_statuses("active"),
            failed=_statuses("archived"),
            final=_statuses("archived"),
        ),
        Lifecycle(
            "graph-query",
            "retrieve-a-graph-query",
            reached=_statuses("completed"),
            failed=_statuses("errored cancelled timed_out"),
            final=_statuses("completed errored cancelled timed_out"),
            passing=_statuses("submitted"),
        ),
    )
}
"""The resources with statuses, by name (API reference of 2025-12-08: their `status`, and the webhook events)."""


def lifecycle_of(resource: str) -> Lifecycle:
    """Return the life-cycle of a resource.

    :raises PersonaSettingsError: when the resource is not in the table.
    """
    try:
        return LIFECYCLES[resource]
    except KeyError:
        raise PersonaSettingsError(
            f"no life-cycle of {resource!r} is known; there is {', '.join(LIFECYCLES)}"
        ) from None
