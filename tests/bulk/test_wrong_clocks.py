"""Workers with wrong clocks: how old an idempotency key is goes by Persona's time too, so nothing is made twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from bulk_runs import attempt, last_results
from crash_worker import Job, planned

from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.plan.file import VALUES_FILE, Plan
from tests.virtual_time import VirtualPersona

CREATE = {
    "operation_id": "create-a-case",
    "body": {"data.attributes.fields.external-integration-id": "number"},
    "constants": {"data.attributes.case-template-id": "ctmpl_kyc"},
}
HOURS = timedelta(hours=1)


def killed(persona: VirtualPersona, folder: Path, utc: Callable[[], datetime]) -> Plan:
    """Leave what an attempt leaves that made two cases and was killed before it could note so."""
    job = Job(persona.url, str(folder), [{"number": "1"}, {"number": "2"}], "", call=CREATE)
    plan = persona.run(planned(job, persona.client()))
    values = (plan.folder / VALUES_FILE).read_bytes()
    attempt(persona, plan, utc=utc)
    ledger = plan.folder / "ledger-00001.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(line for line in lines if b'"begun"' in line or line is lines[0]))
    (plan.folder / VALUES_FILE).write_bytes(values)  # whoever was killed did not delete them
    return plan


@pytest.mark.parametrize(("first", "second"), [(0, -2), (2, 2), (2, 0), (-2, -2), (0, 2), (-2, 0)])
def test_no_clock_makes_an_old_key_fresh(persona: VirtualPersona, tmp_path: Path, first: int, second: int) -> None:
    """The numbers say by how many hours each worker's clock is ahead."""
    plan = killed(persona, tmp_path, lambda: persona.utc() + first * HOURS)
    persona.time.pass_by(64 * 60)  # Persona has forgotten its answers
    report = attempt(persona, plan, utc=lambda: persona.utc() + second * HOURS)
    assert len(persona.journal()) == 2
    assert report.counts == {RowOutcome.UNRESOLVED: 2}


@pytest.mark.parametrize("hours", [0, -2])
def test_a_key_that_persona_remembers_tells_what_became_of_the_row(
    persona: VirtualPersona, tmp_path: Path, hours: int
) -> None:
    plan = killed(persona, tmp_path, persona.utc)
    persona.time.pass_by(20 * 60)
    report = attempt(persona, plan, utc=lambda: persona.utc() + hours * HOURS)
    assert len(persona.journal()) == 2
    assert report.counts == {RowOutcome.UPDATED: 2}


def test_an_attempt_with_a_wrong_clock_notes_the_right_times(persona: VirtualPersona, tmp_path: Path) -> None:
    plan = killed(persona, tmp_path, persona.utc)
    began = persona.utc()
    attempt(persona, plan, utc=lambda: persona.utc() - 2 * HOURS)
    times = [datetime.fromisoformat(result.at) for result in last_results(plan).values()]
    assert all(abs(at - began) < timedelta(minutes=2) for at in times)
