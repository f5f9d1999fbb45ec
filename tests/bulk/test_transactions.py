"""Transactions: their label goes with the fields, and shows in no attribute."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_persona.bulk.errors import MissingColumnError
from airflow_provider_persona.bulk.plan.compare import CompareMode
from tests.bulk.kinds import KINDS
from tests.bulk.test_kinds import carried_out, effects, job_of, outcomes
from tests.virtual_time import VirtualPersona

KIND = next(kind for kind in KINDS if kind.name == "transaction")


def test_a_label_goes_with_the_fields_in_one_call_and_is_set_again(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = [
        {"transaction_id": object_id, "label": "fraud", "fields": {"score": 9}} for object_id in KIND.ids(persona, 2)
    ]
    assert outcomes(carried_out(persona, job_of(KIND, rows, verify=True), tmp_path / "first")) == {"updated": 2}
    assert [effect.operation for effect in effects(persona)] == ["update-a-transaction"] * 2
    again = carried_out(persona, job_of(KIND, rows, CompareMode.GET), tmp_path / "second")
    assert outcomes(again) == {"updated": 2}


def test_a_status_is_no_column_of_transactions(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = [{"transaction_id": "txn_1", "status": "done"}]
    with pytest.raises(MissingColumnError):
        carried_out(persona, job_of(KIND, rows), tmp_path)
