"""Which states mean that a wait is over, well or badly. Unknown states are tolerated: they mean "not yet".

Cases and their number have goals of their own (`CaseGoal`, `CountGoal`), because their statuses are the customer's. The
other resources with a life-cycle are entries of one table, `LIFECYCLES`, and a wait for one of them is a `StatusGoal`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from airflow_provider_persona.api.errors import PersonaAnswerError, PersonaSettingsError
from airflow_provider_persona.api.messages import Request, Response
from airflow_provider_persona.api.models import Case
from airflow_provider_persona.api.operations import operation


class Verdict(StrEnum):
    """Where a wait stands."""

    REACHED = "reached"
    FAILED = "failed"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class CaseGoal:
    """What one waits for in a case.

    A case's statuses are labels that the customer chose, compared as given; which of them are final cannot be told
    from the case. So either the labels are named, or the time of resolution stands in for them.

    :param target_statuses: statuses that end the wait well.
    :param failure_statuses: statuses that end it badly.
    :param resolved: whether a time of resolution ends it well.
    """

    target_statuses: frozenset[str] = frozenset()
    failure_statuses: frozenset[str] = frozenset()
    resolved: bool = False

    def verdict(self, case: Case) -> Verdict:
        """Say where the wait stands for a case as just read."""
        if case.status in self.failure_statuses:
            return Verdict.FAILED
        if case.status in self.target_statuses or (self.resolved and case.is_resolved):
            return Verdict.REACHED
        return Verdict.WAITING


@dataclass(frozen=True, slots=True)
class CountGoal:
    """What one waits for in the number of cases that a filter finds.

    :param at_most: the wait is over when so many remain, or fewer.
    :param at_least: the wait is over when so many are there, or more.
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
        """How many cases to look at before the answer is certain, however many there are."""
        return self.at_least if self.at_least is not None else (self.at_most or 0) + 1

    def verdict(self, seen: int) -> Verdict:
        """Say where the wait stands when `seen` cases were found, looking at no more than `enough`."""
        reached = seen >= self.at_least if self.at_least is not None else seen <= (self.at_most or 0)
        return Verdict.REACHED if reached else Verdict.WAITING


def labels(given: Iterable[str] | str | None) -> frozenset[str]:
    """Return the statuses that an argument names: one, several, or a list that a template rendered to text.

    :raises PersonaSettingsError: when a text cannot be told from a list that lost its form, since a guard that took it
        for one status would guard nothing.
    """
    if given is None:
        return frozenset()
    if isinstance(given, str):
        text = given.strip()
        if text.startswith(("[", "(", "{")):
            try:
                given = ast.literal_eval(text)
            except (ValueError, SyntaxError):
                raise _no_labels() from None
        elif any(mark in text for mark in ",;\n"):
            raise _no_labels()
        else:
            given = [text]
    found = list(given)
    if not all(isinstance(label, str) and label.strip() for label in found):
        raise _no_labels()
    return frozenset(label.strip() for label in found)


def _no_labels() -> PersonaSettingsError:
    return PersonaSettingsError("statuses are given as one text, or as a list of texts like ['Approved', 'Declined']")


@dataclass(frozen=True, slots=True)
class ResourceState:
    """Where one object stands, and nothing else of it.

    :param status: its status as it came; None when the answer has none.
    :param ended: whether it has a time of its end, for resources that are judged by one.
    :param facts: what one looks at beside the status, by attribute name; None where the answer does not tell.
    """

    status: str | None
    ended: bool = False
    facts: Mapping[str, bool | int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The states of one resource, and how to ask for them.

    Every status is an example of an open list: Persona adds to them without a new version of its API.

    :param resource: its name, for example `inquiry-session`.
    :param operation_id: the operation that reads one.
    :param reached: statuses that are waited for when none is named; empty when they must be named.
    :param failed: statuses that end a wait badly when none is named.
    :param final: statuses that no other follows.
    :param passing: further known statuses, so that a slip in an argument is noticed.
    :param ended_at: attribute with the time of its end, for a resource whose statuses are not published.
    :param facts: attributes, true or false or a number, to read beside the status.
    :param kinds: types under which an object comes, for sparse reads; of others Persona sends all attributes, which
        are dropped here. Empty: the resource's name.
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
        """All statuses that we know of."""
        return self.reached | self.failed | self.final | self.passing

    def request(self, resource_id: str) -> Request:
        """Return the request that reads the state of one object, without its other attributes and related objects.

        :raises BadCallError: when the id cannot be part of a path.
        """
        read = operation(self.operation_id)
        wanted = ["status", *([self.ended_at] if self.ended_at else []), *self.facts]
        sparse = {f"fields[{kind}]": wanted for kind in self.kinds or (self.resource,)}
        return read.bind({read.path_parameters[0]: resource_id}, {"include": "", **sparse})

    def state(self, response: Response) -> ResourceState:
        """Return the state that an answer tells.

        :raises PersonaAnswerError: when it tells none: then no wait on it would ever end.
        """
        try:
            answer = response.json()
        except ValueError:
            answer = None
        data = answer.get("data") if isinstance(answer, Mapping) else None
        attributes = data.get("attributes") if isinstance(data, Mapping) else None
        known: Mapping[str, Any] = attributes if isinstance(attributes, Mapping) else {}
        status = known.get("status")
        if not isinstance(status, str) and (self.ended_at is None or self.ended_at not in known):
            raise PersonaAnswerError(
                f"the answer to {self.operation_id} tells no status; look whether the API key's attribute blocklist "
                "holds it back",
                status=response.status,
                request_id=response.request_id,
                operation_id=self.operation_id,
            )
        facts = {name: known.get(name) for name in self.facts}
        return ResourceState(
            status=status if isinstance(status, str) else None,
            ended=self.ended_at is not None and known.get(self.ended_at) is not None,
            facts={name: value if isinstance(value, bool | int) else None for name, value in facts.items()},
        )

    def goal(
        self,
        target_statuses: Iterable[str] | str | None = None,
        failure_statuses: Iterable[str] | str | None = None,
    ) -> StatusGoal:
        """Return the goal of a wait.

        :param target_statuses: statuses that end it well; None for the usual ones.
        :param failure_statuses: statuses that end it badly; None for the usual ones that are not targets, empty for
            none.
        :raises PersonaSettingsError: when a status is misspelt or on both sides, or none is named where that is needed.
        """
        named, refused = labels(target_statuses), labels(failure_statuses)
        for label in sorted(named | refused):
            self._check_spelling(label)
        targets = named or self.reached
        if not targets and self.ended_at is None:
            raise PersonaSettingsError(f"statuses of a {self.resource} are yours: name those to wait for")
        if both := targets & refused:
            raise PersonaSettingsError(f"{', '.join(sorted(both))} cannot be both a target and a failure")
        return StatusGoal(self, targets, self.failed - targets if failure_statuses is None else refused)

    def _check_spelling(self, label: str) -> None:
        meant = label.strip().lower().replace("-", "_").replace(" ", "_")
        if label not in self.known and meant in self.known:
            raise PersonaSettingsError(f"{self.resource} has no status {label!r}; did you mean {meant!r}?")


@dataclass(frozen=True, slots=True)
class StatusGoal:
    """What one waits for in one object; `Lifecycle.goal` makes it.

    :param lifecycle: of which resource.
    :param targets: statuses that end the wait well; empty when its end does, whatever the status.
    :param failures: statuses that end it badly.
    """

    lifecycle: Lifecycle
    targets: frozenset[str]
    failures: frozenset[str]

    def verdict(self, state: ResourceState) -> Verdict:
        """Say where the wait stands; an end that is no target ends it badly, since nothing follows it."""
        if state.status in self.failures:
            return Verdict.FAILED
        if state.status in self.targets or (state.ended and not self.targets):
            return Verdict.REACHED
        return Verdict.FAILED if state.ended or state.status in self.lifecycle.final else Verdict.WAITING

    def reason(self, status: str | None) -> str:
        """Say in words why a wait ended badly with that status."""
        if status in self.failures:
            return f"has status {status}, which counts as a failure"
        return f"ended with status {status}, which none of {', '.join(sorted(self.targets))} follows"


def _statuses(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _kinds(of: str, names: str) -> tuple[str, ...]:
    return tuple(f"{of}/{name}" for name in names.split())


_IMPORTER_COUNTS: Final = ("successful-count", "duplicate-count", "error-count")

LIFECYCLES: Final[Mapping[str, Lifecycle]] = {
    each.resource: each
    for each in (
        Lifecycle(
            "inquiry",
            "retrieve-an-inquiry",
            # A workflow may move a completed inquiry on at any moment, so that a look may find what comes after.
            reached=_statuses("completed needs_review approved"),
            failed=_statuses("failed expired declined"),
            final=_statuses("failed approved declined"),  # an expired one can be resumed
            passing=_statuses("created pending"),
        ),
        Lifecycle(
            "inquiry-session",
            "retrieve-an-inquiry-session",
            reached=_statuses("expired canceled"),  # of the second only events tell
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
            # Those that people or their papers go through. All 44 would make a longer query than firewalls let pass.
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
        # Only `created` is Persona's own; the others are the customer's, for each type of transaction.
        Lifecycle("transaction", "retrieve-a-transaction"),
        Lifecycle(
            "workflow-run",
            "retrieve-a-workflow-run",
            # Persona publishes no list of statuses; there is an event `workflow-run.errored`.
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
            facts=_IMPORTER_COUNTS,
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
            passing=_statuses("initiated submitted pending"),  # the last is named by an event
            kinds=_kinds("document", "generic government-id government-id-nfc mdoc"),
        ),
        # A list of any kind comes whole: a name, a status and times.
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
"""The resources with a life-cycle, by name (API reference of 2025-12-08: their `status`, and the webhook events)."""


def lifecycle_of(resource: str) -> Lifecycle:
    """Return the life-cycle of a resource.

    :raises PersonaSettingsError: when it has none that we know.
    """
    try:
        return LIFECYCLES[resource]
    except KeyError:
        raise PersonaSettingsError(
            f"no life-cycle of {resource!r} is known; there is {', '.join(LIFECYCLES)}"
        ) from None
