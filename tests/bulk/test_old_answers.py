"""A run of which nothing is left, done again under the same identity within the hour: Persona repeats its old answers.

A person has moved the objects back in the meantime. So an answer must not be taken for the present state, and no row
may end as updated while nothing changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from bulk_runs import outcomes

from airflow_provider_persona.bulk.job import run
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.plan.compare import CompareMode
from airflow_provider_persona.bulk.plan.draft import Draft, resume_or_draft
from airflow_provider_persona.bulk.plan.guards import Guards
from persona_simulator import FaultKind
from tests.bulk.kinds import KINDS, Kind
from tests.bulk.test_kinds import CREATED, effects, job_of, results_in
from tests.virtual_time import VirtualPersona

WISHES = {
    "case": {"status": "Declined"},
    "inquiry": {"status": "approved", "add_tags": "vip"},
    "account": {"add_tags": "vip"},
    "transaction": {"add_tags": "vip"},
    "report": {"add_tags": "vip", "monitoring": "paused"},
}
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def rows_of(kind: Kind, ids: list[str]) -> list[dict[str, object]]:
    return [{kind.subject.id_column: object_id, **WISHES[kind.name]} for object_id in ids]


def done(
    persona: VirtualPersona, kind: Kind, ids: list[str], folder: Path, guards: Guards | None = None, **options: object
) -> Report:
    """Plan and apply under one identity, whatever was before."""
    job = job_of(kind, rows_of(kind, ids), CompareMode.NEVER, guards=guards, **options)

    async def main() -> Report:
        begun = resume_or_draft(job.rows.read, folder, job.header("run", None, CREATED))
        assert isinstance(begun, Draft)
        async with persona.client() as client:
            return await run(job, begun, client, utc=persona.utc)

    return persona.run(main())


def move_back(persona: VirtualPersona, kind: Kind, object_id: str) -> None:
    if kind.name == "case":
        persona.act_as_human(object_id, status=kind.before)
    else:
        persona.change_object(object_id, status=kind.before, attributes={"tags": [], **dict(kind.attributes)})


def is_done(persona: VirtualPersona, kind: Kind, object_id: str) -> bool:
    if kind.name == "case":
        return persona.statuses()[object_id] == "Declined"
    thing = persona.object(object_id)
    told = thing["status"] == "approved" if kind.name == "inquiry" else True
    told = told and (kind.name != "report" or not thing["attributes"]["is-recurring"])
    return told and thing["attributes"]["tags"] == ["vip"]


def after_a_loss(
    persona: VirtualPersona, kind: Kind, folder: Path, meanwhile: Callable[[str], None], **options: object
) -> tuple[str, Report]:
    """Do a run, lose all of it, and do it again forty minutes later; return the object's id and the second report."""
    (object_id,) = kind.ids(persona, 1)
    assert outcomes(done(persona, kind, [object_id], folder)) == {"updated": 1}
    meanwhile(object_id)
    persona.advance_clock(40 * 60)
    shutil.rmtree(folder)
    return object_id, done(persona, kind, [object_id], folder, **options)


@each_kind
def test_what_was_moved_back_is_changed_again(persona: VirtualPersona, tmp_path: Path, kind: Kind) -> None:
    folder = tmp_path / "run"
    object_id, report = after_a_loss(persona, kind, folder, lambda it: move_back(persona, kind, it))
    assert any(request.replayed for request in persona.requests()), "no old answer came, so this tests nothing"
    assert outcomes(report) == {"updated": 1}
    assert is_done(persona, kind, object_id)
    assert results_in(folder)[object_id].generation == 1


@each_kind
def test_what_is_still_so_is_looked_at_and_not_done_twice(persona: VirtualPersona, tmp_path: Path, kind: Kind) -> None:
    object_id, report = after_a_loss(persona, kind, tmp_path / "run", lambda _: None)
    assert outcomes(report) == {"updated": 1}
    assert is_done(persona, kind, object_id)
    assert len(effects(persona)) == len(WISHES[kind.name])
    assert persona.requests(operation=kind.subject.read_operation)


def test_a_guard_is_asked_again_before_the_second_write(persona: VirtualPersona, tmp_path: Path) -> None:
    """The look finds a decision of a person, which the first look of the row could not show."""
    kind = KINDS[0]

    def decide(object_id: str) -> None:
        persona.act_as_human(object_id, status="Pending")

    object_id, report = after_a_loss(persona, kind, tmp_path / "run", decide, guards=Guards.of(None, "Pending"))
    assert outcomes(report) == {"skipped_guard": 1}
    assert persona.statuses()[object_id] == "Pending"


def test_an_old_answer_without_a_look_is_unresolved(persona: VirtualPersona, tmp_path: Path) -> None:
    kind, folder = KINDS[0], tmp_path / "run"

    def move(object_id: str) -> None:
        move_back(persona, kind, object_id)
        persona.script_fault(FaultKind.HTTP_500, operation="retrieve-case", times=100)

    object_id, _ = after_a_loss(persona, kind, folder, move)
    result = results_in(folder)[object_id]
    assert (result.outcome, result.retryable) == (RowOutcome.UNRESOLVED, True)
    assert "may be one of before" in result.reason


def test_a_run_that_is_certainly_new_looks_at_nothing(persona: VirtualPersona, tmp_path: Path) -> None:
    """Its rows are right already, so that each answer shows an old state."""
    kind = KINDS[0]
    ids = kind.ids(persona, 3)
    for object_id in ids:
        persona.act_as_human(object_id, status="Declined")
    persona.advance_clock(600)
    done(persona, kind, ids, tmp_path / "new", keys_may_be_old=False)
    assert not persona.requests(operation="retrieve-case")
    shutil.rmtree(tmp_path / "new")
    done(persona, kind, ids, tmp_path / "perhaps")
    assert len(persona.requests(operation="retrieve-case")) == 3


@each_kind
def test_a_first_run_that_changes_something_is_not_slower(persona: VirtualPersona, tmp_path: Path, kind: Kind) -> None:
    done(persona, kind, kind.ids(persona, 3), tmp_path)
    reads = len(persona.requests(operation=kind.subject.read_operation))
    assert reads == (0 if kind.tells_when else 3 * len(WISHES[kind.name]))
