"""What a new environment holds: two templates, users, queues, tags and cases with invented people.

Everything follows from the seed. The people look real so that a test for leaks has something to find; they are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Any, Final

from persona_simulator.world import (
    Actor,
    CaseRecord,
    CaseTemplate,
    FieldDefinition,
    StatusType,
    User,
    World,
)

FIRST_DAY: Final = datetime(2025, 1, 6, 8, 0, tzinfo=UTC).timestamp()
"""Creation of the oldest case; the same for every seed and every day on which the simulator runs."""

_YEAR: Final = 365 * 86_400.0

KYC_TEMPLATE: Final = "ctmpl_kyc"
MONITORING_TEMPLATE: Final = "ctmpl_monitoring"

_MONITORED_EVERY: Final = 5
_SHARE_ASSIGNED: Final = 0.3
_SHARE_TAGGED: Final = 0.1
_SHARE_COMMENTED: Final = 0.05
_SHARE_REVIEWED_BY_HAND: Final = 0.2

_LARGEST_KEPT: Final = 3_000
"""Cases of the largest world that is kept, in some megabytes. A test makes a world like that of the test before it."""

_FIRST_NAMES: Final = (
    "Aino",
    "Bela",
    "Carmen",
    "Dagny",
    "Emeka",
    "Farida",
    "Giorgos",
    "Hana",
    "Ines",
    "Jovan",
    "Keiko",
    "Lorcan",
    "Mirela",
    "Noor",
    "Odile",
    "Pavel",
)
_LAST_NAMES: Final = (
    "Abara",
    "Brandt",
    "Castellano",
    "Duarte",
    "Eskola",
    "Ferreira",
    "Grimaldi",
    "Horvat",
    "Ibarra",
    "Jensen",
    "Kowalczyk",
    "Lindqvist",
)
_STREETS: Final = ("Alder", "Birch", "Canal", "Dock", "Elm", "Foundry", "Garden", "Harbour")
_COUNTRIES: Final = ("DE", "FI", "GR", "IE", "IT", "NG", "PL", "PT", "US")

_STATUS_WEIGHTS: Final = {
    KYC_TEMPLATE: {"Open": 60, "Pending": 15, "In Review": 15, "Approved": 6, "Declined": 4},
    MONITORING_TEMPLATE: {"open": 70, "escalated": 10, "resolved": 15, "closed": 5},
}


def _fields(*definitions: FieldDefinition) -> dict[str, FieldDefinition]:
    return {definition.key: definition for definition in definitions}


def _templates() -> tuple[CaseTemplate, ...]:
    initial, intermediate, end = StatusType.INITIAL, StatusType.INTERMEDIATE, StatusType.END
    kyc = CaseTemplate(
        template_id=KYC_TEMPLATE,
        name="KYC review",
        prefix="KYC",
        statuses={
            "Open": initial,
            "Pending": intermediate,
            "In Review": intermediate,
            "Approved": end,
            "Declined": end,
        },
        fields=_fields(
            FieldDefinition("name-first"),
            FieldDefinition("name-last"),
            FieldDefinition("birthdate", "date"),
            FieldDefinition("email-address", "email-address"),
            FieldDefinition("address-street-1"),
            FieldDefinition("country-code", "choices", searchable=True),
            FieldDefinition("risk_score", "integer", searchable=True),
            FieldDefinition("external-integration-id", "string", searchable=True),
            FieldDefinition("manual-review", "boolean", searchable=True),
            FieldDefinition("decision-note"),
        ),
        created_at=FIRST_DAY,
    )
    monitoring = CaseTemplate(
        template_id=MONITORING_TEMPLATE,
        name="Transaction monitoring",
        prefix="TM",
        statuses={"open": initial, "escalated": intermediate, "resolved": end, "closed": end},
        fields=_fields(
            FieldDefinition("customer-name"),
            FieldDefinition("customer-birthdate", "date"),
            FieldDefinition("alert-type", "choices", searchable=True),
            FieldDefinition("amount", "number", searchable=True),
            FieldDefinition("external-integration-id", "string", searchable=True),
        ),
        created_at=FIRST_DAY,
    )
    return kyc, monitoring


def populate(cases: int, seed: int, reviewers: Sequence[str]) -> World:
    """Return a new world.

    :param cases: how many cases it has.
    :param seed: decides their contents.
    :param reviewers: e-mail addresses of the dashboard's users.
    """
    if cases > _LARGEST_KEPT:
        return _invented(cases, seed, reviewers)
    return _copied(_kept(cases, seed, tuple(reviewers)))


@lru_cache(maxsize=4)
def _kept(cases: int, seed: int, reviewers: tuple[str, ...]) -> World:
    return _invented(cases, seed, reviewers)


def _copied(new: World) -> World:
    """Return another world like a new one, which takes a third of the time that inventing it takes.

    What can change is copied. The two share templates, users, actors and stubs, which are frozen.
    """
    world = World()
    world.templates, world.users, world.queues = dict(new.templates), dict(new.users), dict(new.queues)
    world.tags, world.objects = dict(new.tags), dict(new.objects)
    for case in new.order:
        world.adopt(
            replace(
                case,
                fields=case.fields.copy(),
                tags=case.tags.copy(),
                attachments=case.attachments.copy(),
                object_ids=case.object_ids.copy(),
                comment_ids=case.comment_ids.copy(),
                index_history=[],
                rendered={},
            )
        )
    return world


def _invented(cases: int, seed: int, reviewers: Sequence[str]) -> World:
    world = World()
    for template in _templates():
        world.templates[template.template_id] = template
    for number, email in enumerate(reviewers, start=1):
        world.users[email.lower()] = User(f"user_sim{number:02d}", email)
    world.queues.update({"cqueue_first_line": "First line", "cqueue_escalations": "Escalations"})
    for tag in ("vip", "batch", "watch"):
        world.tag_named(tag)
    random = Random(f"cases:{seed}")  # noqa: S311 - repeatable, not secret
    step = min(420.0, _YEAR / max(cases, 1))
    for ordinal in range(cases):
        _seed_case(world, random, ordinal, FIRST_DAY + ordinal * step)
    return world


def _seed_case(world: World, random: Random, ordinal: int, created_at: float) -> None:
    template = world.templates[
        MONITORING_TEMPLATE if ordinal % _MONITORED_EVERY == _MONITORED_EVERY - 1 else KYC_TEMPLATE
    ]
    users = list(world.users)
    case = world.open_case(template, created_at, Actor(random.choice(users), "user"))
    weights = _STATUS_WEIGHTS[template.template_id]
    case.status = random.choices(list(weights), list(weights.values()))[0]
    case.fields = _person(random, ordinal) if template.template_id == KYC_TEMPLATE else _alert(random, ordinal)
    case.queue_id = random.choice(list(world.queues))
    if random.random() < _SHARE_ASSIGNED:
        case.assignee, case.assigned_at = random.choice(users), created_at + 60
        case.assigner = Actor("cap_simulator", "case-assignment-policy")
    if random.random() < _SHARE_TAGGED:
        case.tags = [random.choice(list(world.tags.values()))]
    if random.random() < _SHARE_COMMENTED:
        case.comment_ids = [f"cscm_sim{ordinal + 1:06d}"]
    if case.status_type is StatusType.END:
        case.resolved_at = case.updated_at = created_at + 3600
        case.resolver = case.updater = Actor(random.choice(users), "user")
    _attach_stubs(world, case)


def _attach_stubs(world: World, case: CaseRecord) -> None:
    number = case.case_id.removeprefix("case_")
    made = case.created_at
    account = world.add_object(f"act_{number}", {"reference-id": f"customer-{number}"})
    stubs = [account, world.add_object(f"inq_{number}", {"status": "completed", "reference-id": f"customer-{number}"})]
    if case.ordinal % 4 == 0:
        stubs.append(world.add_object(f"rep_{number}", {"status": "ready", "has-match": made % 2 == 0}))
    if case.ordinal % 3 == 0:
        stubs.append(world.add_object(f"ver_{number}", {"status": "passed"}))
    if case.template.template_id == MONITORING_TEMPLATE:
        stubs.append(world.add_object(f"txn_{number}", {"status": "created", "reference-id": f"transfer-{number}"}))
    case.object_ids = [stub.object_id for stub in stubs if stub is not None]


def _birthdate(random: Random) -> str:
    return (date(1950, 1, 1) + timedelta(days=random.randrange(20_000))).isoformat()


def _person(random: Random, ordinal: int) -> dict[str, Any]:
    first, last = random.choice(_FIRST_NAMES), random.choice(_LAST_NAMES)
    return {
        "name-first": first,
        "name-last": last,
        "birthdate": _birthdate(random),
        "email-address": f"{first}.{last}.{ordinal + 1}@people.example".lower(),
        "address-street-1": f"{random.randrange(1, 300)} {random.choice(_STREETS)} Street",
        "country-code": random.choice(_COUNTRIES),
        "risk_score": random.randrange(100),
        "external-integration-id": f"crm-{ordinal + 1:06d}",
        "manual-review": random.random() < _SHARE_REVIEWED_BY_HAND,
        "decision-note": None,
    }


def _alert(random: Random, ordinal: int) -> dict[str, Any]:
    return {
        "customer-name": f"{random.choice(_FIRST_NAMES)} {random.choice(_LAST_NAMES)}",
        "customer-birthdate": _birthdate(random),
        "alert-type": random.choice(("structuring", "velocity", "sanctions")),
        "amount": round(random.uniform(50, 20_000), 2),
        "external-integration-id": f"core-{ordinal + 1:06d}",
    }
