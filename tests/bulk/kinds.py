"""What the one suite over all kinds of objects has to know of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_persona.bulk.subjects import object_subject
from airflow_provider_persona.bulk.subjects.subject import ObjectSubject
from persona_simulator import SimulatorControl
from tests.virtual_time import VirtualPersona

CANARY = "canary-7731"
"""Stands for personal data."""


@dataclass(frozen=True)
class Kind:
    """A kind of object, and a wish for it.

    :param name: its name.
    :param prefix: how ids begin.
    :param wish: what rows ask for of a new object; it holds the canary.
    :param last_step: the operation that makes the last part of the wish true.
    :param before: status of a new object, None for a kind without.
    :param reversal: what a revert says of the change; empty when it takes it back.
    :param irreversible: what a plan says of it, empty when all can be taken back.
    :param decided: a status that a human brings about instead, None for a kind without.
    :param attributes: what a new object has beside what the simulator gives it.
    :param tells_when: whether an object says when it was changed.
    """

    name: str
    prefix: str
    wish: Mapping[str, Any]
    last_step: str
    before: str | None = None
    reversal: str = ""
    irreversible: str = ""
    tells_when: bool = True
    decided: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> ObjectSubject:
        return object_subject(self.name)

    def ids(self, persona: SimulatorControl, count: int) -> list[str]:
        """Make so many objects known, and return their ids."""
        if self.name == "case":
            return [case_id for case_id, status in persona.statuses().items() if status == self.before][:count]
        ids = [f"{self.prefix}_kind{number}" for number in range(count)]
        persona.add_objects(*ids)
        for object_id in ids:
            if self.attributes:
                persona.change_object(object_id, attributes=self.attributes)
        return ids

    def rows(self, ids: list[str]) -> list[dict[str, Any]]:
        return [{self.subject.id_column: object_id, **self.wish} for object_id in ids]

    def status_of(self, persona: VirtualPersona, object_id: str) -> str | None:
        return persona.statuses()[object_id] if self.name == "case" else persona.object(object_id)["status"]

    def decide_as_human(self, persona: VirtualPersona, object_id: str) -> None:
        """Bring about a status that rows do not wish for."""
        if self.name == "case":
            persona.act_as_human(object_id, status=self.decided)
        else:
            persona.change_object(object_id, status=self.decided)

    def change_as_human(self, persona: VirtualPersona, object_id: str) -> None:
        """Change an object as somebody else would, some time later."""
        persona.advance_clock(60)
        if self.name == "case":
            persona.act_as_human(object_id, fields={"decision-note": "a person's"})
        else:
            persona.change_object(object_id, attributes={"tags": ["a person's"]})


KINDS = (
    Kind(
        "case",
        "case",
        {"status": "Declined", "fields": {"decision-note": CANARY}},
        "set-status-for-a-case",
        "Open",
        decided="Pending",
    ),
    Kind(
        "account",
        "act",
        {"add_tags": "vip", "fields": {"risk_note": CANARY}},
        "accounts-add-tag",
        reversal="changed accounts; only changes",
    ),
    Kind(
        "inquiry",
        "inq",
        {"status": "approved", "fields": {"risk_note": CANARY}, "note": CANARY, "comment": CANARY, "add_tags": "vip"},
        "approve-an-inquiry",
        "created",
        decided="declined",
        reversal="it went from created to approved, and approved is a decision, and no action takes a decision back",
        irreversible="approved is a decision, and no action takes a decision back",
    ),
    Kind(
        "transaction",
        "txn",
        {"add_tags": "vip", "fields": {"risk_note": CANARY}},
        "transactions-add-tag",
        reversal="changed transactions; only changes",
    ),
    Kind(
        "report",
        "rep",
        {"add_tags": "vip", "dismiss_reason": CANARY, "monitoring": "paused"},
        "report-action-pause-continuous-monitoring",
        reversal="changed reports; only changes",
        irreversible="no call takes back a dismissal",
        attributes={"status": "ready", "has-match": True, "is-recurring": True},
        tells_when=False,
    ),
)


@dataclass(frozen=True)
class CallKind:
    """Rows that call an operation, one call a row.

    :param name: what tests call it.
    :param call: arguments of `OperationRows`.
    :param column: column that tells the rows apart.
    :param made: attribute of a new thing that holds the column's value, empty where the call makes no thing.
    """

    name: str
    call: Mapping[str, Any]
    column: str
    made: str = ""

    @property
    def last_step(self) -> str:
        return str(self.call["operation_id"])

    def rows(self, persona: VirtualPersona, count: int) -> list[dict[str, Any]]:
        """Make what the rows call for known, and return them."""
        if self.made:
            return [{self.column: f"row{number}@example.com"} for number in range(count)]
        ids = [f"act_kind{number}" for number in range(count)]
        persona.add_objects(*ids)
        return [{self.column: object_id} for object_id in ids]


CALLS = (
    CallKind(
        "tag an account",
        {
            "operation_id": "accounts-add-tag",
            "path": {"account-id": "account_id"},
            "constants": {"meta.tag-name": "vip"},
        },
        "account_id",
    ),
    CallKind(
        "put on a list",
        {
            "operation_id": "create-an-email-address-list-item",
            "body": {"data.attributes.value": "value"},
            "constants": {"data.attributes.list-id": "lst_email_address"},
        },
        "value",
        made="value",
    ),
)
"""Operations that rows call: one that may be repeated, and one that makes something new each time."""
