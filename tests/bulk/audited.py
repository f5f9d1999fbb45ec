"""How the accounting suite sees each kind of thing that rows can be about: one table, and the suite knows no kind.

Whatever the kind, a thing has a status, a note and tags, as far as it has them, and one call changes one of them. What
a row asks for, and what an effect of the journal changed, is told by these facts and not by the engine's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_persona.bulk.source.columns import ObjectRows
from airflow_provider_persona.bulk.source.rows import InvalidRow, RowMapping, ValidRow, read_rows
from airflow_provider_persona.bulk.subjects import object_subject
from airflow_provider_persona.bulk.subjects.operation import OperationRows
from persona_simulator import SimulatorControl
from persona_simulator.journal import BACKGROUND, HUMAN, Effect

KYC = ("Open", "Pending", "In Review", "Approved", "Declined")
MONITORING = ("open", "escalated", "resolved", "closed")


def is_foreign(effect: Effect) -> bool:
    """Whether somebody else did it, and not the API's user."""
    return effect.actor in (HUMAN, BACKGROUND)


@dataclass(frozen=True, slots=True)
class ThingNow:
    """A thing at one moment; None and empty for what its kind does not have."""

    status: str | None
    note: str | None
    tags: frozenset[str]


@dataclass(frozen=True)
class Audited:
    """A kind of thing, or an operation that rows call with the id of one.

    :param name: its name.
    :param id_column: column with the id.
    :param retrieve: operation that reads one.
    :param notes: what a row may wish for as its note; `{}` stands for a number.
    :param note_part: the journal's name of the note.
    :param note_by: operation that brings about a note, by the note; `*` for any.
    :param note_column: column of the note. `fields` holds it under `note_field`.
    :param note_attribute: where the simulator keeps it, if not in a field.
    :param prefix: how ids begin; empty for cases, which the simulator has from its start.
    :param moves: operation that brings about a status, by the status; `*` for any. Empty where none does.
    :param labels: statuses that rows wish for, by template.
    :param human_labels: further statuses that a human brings about.
    :param guarded: statuses that guards name: one that is let through, one that is not.
    :param tag: operation that adds a tag; empty where rows wish for none.
    :param call: the mapping of rows that call an operation; None for changes of objects.
    :param attributes: what a new thing has beside what the simulator gives it.
    :param tells_when: whether a thing says when it was changed, so that drift shows.
    """

    name: str
    id_column: str
    retrieve: str
    note_by: Mapping[str, str]
    notes: tuple[str, ...] = ("note {}",)
    note_part: str = "fields"
    note_column: str = "fields"
    note_field: str = "risk_note"
    note_attribute: str = ""
    prefix: str = ""
    moves: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[tuple[str, ...], ...] = ()
    human_labels: tuple[str, ...] = ()
    guarded: tuple[str, str] = ("", "")
    tag: str = ""
    call: OperationRows | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    tells_when: bool = True

    @property
    def has_status(self) -> bool:
        return bool(self.moves)

    @property
    def mapping(self) -> RowMapping:
        return self.call or ObjectRows(object_subject(self.name))

    @property
    def in_header(self) -> dict[str, str]:
        """What the header of a plan says of it."""
        return {"object_kind": self.name} if self.call is None else {"operation_id": self.call.operation_id}

    @property
    def operations(self) -> list[str]:
        """Every operation that writes, and the one that reads."""
        return [*self.moves.values(), *self.note_by.values(), *filter(None, [self.tag]), self.retrieve]

    def read(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[ValidRow | InvalidRow]:
        return read_rows(rows, self.mapping)

    def operation_of(self, part: str, value: str) -> str:
        """Return the operation that brings about a wish."""
        if part == "tag":
            return self.tag
        by = self.moves if part == "status" else self.note_by
        return by.get(value) or by["*"]

    def part_of(self, name: str) -> str | None:
        """Return which part the journal means; None for what comes along with one."""
        return {"status": "status", self.note_part: "note", "tags": "tag"}.get(name)

    def knows(self, status: str | None) -> bool:
        """Whether a row may wish for a status, whatever Persona then says to it."""
        return "*" in self.moves or status in self.moves

    def labels_like(self, status: str | None) -> tuple[str, ...]:
        """Return the statuses that a thing with this one may be wished to have."""
        return next((labels for labels in self.labels if status in labels), self.labels[0])

    def note(self, number: int) -> str:
        return self.notes[number % len(self.notes)].format(number)

    def note_in(self, note: str) -> dict[str, Any]:
        """Return the columns of a row that wishes for a note."""
        if self.note_column == "fields":
            return {"fields": {self.note_field: note}}
        return {self.note_column: note}

    def note_wished(self, row: Mapping[str, Any]) -> str | None:
        found = row.get(self.note_column)
        return found.get(self.note_field) if isinstance(found, Mapping) else found

    # ------------------------------------------------------------------ in the simulator

    def make(self, sim: SimulatorControl, count: int) -> list[str]:
        """Make so many things known, and return their ids."""
        if not self.prefix:
            return sorted(sim.statuses())[:count]
        ids = [f"{self.prefix}_kind{number:02}" for number in range(count)]
        sim.add_objects(*ids)
        for thing_id in ids:
            if self.attributes:
                sim.change_object(thing_id, attributes=self.attributes)
        return ids

    def now(self, sim: SimulatorControl, ids: Iterable[str]) -> dict[str, ThingNow]:
        """Return all things as they are."""
        if not self.prefix:
            cases = {case["case_id"]: case for case in sim.cases()}
            return {
                thing_id: ThingNow(
                    cases[thing_id]["status"],
                    cases[thing_id]["fields"].get(self.note_field),
                    frozenset(cases[thing_id]["tags"]),
                )
                for thing_id in ids
            }
        return {thing_id: self._now(sim.object(thing_id)) for thing_id in ids}

    def _now(self, thing: Mapping[str, Any]) -> ThingNow:
        attributes = thing["attributes"]
        if self.note_attribute == "is-recurring":
            note = "active" if attributes.get("is-recurring") else "paused"
        elif self.note_attribute:
            note = attributes.get(self.note_attribute)
        else:
            note = ((attributes.get("fields") or {}).get(self.note_field) or {}).get("value")
        return ThingNow(
            thing["status"] if self.has_status else None,
            note,
            frozenset(attributes.get("tags") or ()) if self.tag else frozenset(),
        )

    def decide(self, sim: SimulatorControl, thing_id: str, number: int) -> bool:
        """Let a human set a status; False where there is none to set."""
        if not self.has_status:
            return False
        if not self.prefix:
            labels = self.labels_like(sim.statuses()[thing_id])
            sim.act_as_human(thing_id, status=labels[number % len(labels)])
            return True
        labels = (*self.labels[0], *self.human_labels)
        sim.change_object(thing_id, status=labels[number % len(labels)])
        return True

    def note_as_human(self, sim: SimulatorControl, thing_id: str, text: str) -> None:
        if not self.prefix:
            sim.act_as_human(thing_id, fields={self.note_field: text})
        elif self.note_attribute == "is-recurring":
            is_on = sim.object(thing_id)["attributes"].get("is-recurring")
            sim.change_object(thing_id, attributes={"is-recurring": not is_on})
        elif self.note_attribute:
            sim.change_object(thing_id, attributes={self.note_attribute: text})
        else:
            held = sim.object(thing_id)["attributes"].get("fields") or {}
            typed = {"type": "string", "value": text}
            sim.change_object(thing_id, attributes={"fields": {**held, self.note_field: typed}})


CASES = Audited(
    "case",
    "case_id",
    "retrieve-case",
    {"*": "update-a-case"},
    note_part="fields.external-integration-id",
    note_field="external-integration-id",
    moves={"*": "set-status-for-a-case"},
    labels=(KYC, MONITORING),
    guarded=("Open", "Approved"),
    tag="add-tag",
)

INQUIRIES = Audited(
    "inquiry",
    "inquiry_id",
    "retrieve-an-inquiry",
    {"*": "update-an-inquiry"},
    note_part="note",
    note_column="note",
    note_attribute="note",
    prefix="inq",
    moves={
        "approved": "approve-an-inquiry",
        "declined": "decline-an-inquiry",
        "needs_review": "mark-an-inquiry-for-review",
        "expired": "expire-an-inquiry",
        "pending": "resume-an-inquiry",
    },
    labels=(("approved", "declined", "needs_review", "expired", "pending"),),
    human_labels=("created", "completed", "failed"),
    guarded=("created", "approved"),
    tag="inquiries-add-tag",
)

ACCOUNTS = Audited(
    "account", "account_id", "retrieve-an-account", {"*": "update-an-account"}, prefix="act", tag="accounts-add-tag"
)

TRANSACTIONS = Audited(
    "transaction",
    "transaction_id",
    "retrieve-a-transaction",
    {"*": "update-a-transaction"},
    prefix="txn",
    tag="transactions-add-tag",
)

REPORTS = Audited(
    "report",
    "report_id",
    "retrieve-a-report",
    {
        "paused": "report-action-pause-continuous-monitoring",
        "active": "report-action-resume-continuous-monitoring",
    },
    notes=("paused", "active"),
    note_part="is-recurring",
    note_column="monitoring",
    note_attribute="is-recurring",
    prefix="rep",
    tag="reports-add-tag",
    attributes={"status": "ready", "has-match": True, "is-recurring": True},
    tells_when=False,
)

CALLS = Audited(
    "call",
    "account_id",
    "retrieve-an-account",
    {"*": "update-an-account"},
    note_column="note",
    prefix="act",
    call=OperationRows(
        "update-an-account", path={"account-id": "account_id"}, body={"data.attributes.fields.risk_note": "note"}
    ),
)

AUDITED = (CASES, INQUIRIES, ACCOUNTS, TRANSACTIONS, REPORTS, CALLS)
