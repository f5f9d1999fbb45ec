"""From a ledger to the rows that take its changes of statuses back."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_persona.api.case_change import CaseChange
from airflow_provider_persona.bulk.errors import PlanError
from airflow_provider_persona.bulk.ledger import read_ledger, read_results
from airflow_provider_persona.bulk.outcomes import RowOutcome, RowResult
from airflow_provider_persona.bulk.plan import Plan
from airflow_provider_persona.bulk.rows import InvalidRow, Wish


def wishes_to_revert(plan: Plan) -> Iterator[Wish | InvalidRow]:
    """Yield a row for every case that a plan's run changed, wishing back the status that it had before.

    :param plan: the plan whose ledger stands beside it.
    :raises PlanError: when it has no ledger, or is about something else than cases.
    """
    if plan.header.operation_id is not None:
        raise PlanError(f"{plan.uri} made calls of {plan.header.operation_id}; only changes of cases can be taken back")
    state = read_ledger(plan.folder, plan.header.hash)
    if not state.last_segment:
        raise PlanError(f"there is no ledger beside {plan.uri}, so nothing is known to have been changed")
    unresolved: dict[int, str | None] = {}
    for result in read_results(plan.folder, plan.header.hash):
        # A row that was updated, or found to be so, is never taken up again, so it has one such line.
        if result.outcome is RowOutcome.UPDATED:
            yield _wish_back(result)
        elif result.may_be_own_doing:
            yield InvalidRow(result.object_id, "an attempt that was cut off may have changed it; look who did")
        elif result.outcome is RowOutcome.UNRESOLVED and state.outcome(result.row) is RowOutcome.UNRESOLVED:
            unresolved[result.row] = result.object_id
    for object_id in unresolved.values():
        yield InvalidRow(object_id, "whether it was changed is unknown: the run left it unresolved")
    for _ in range(state.carried[RowOutcome.UPDATED]):
        yield InvalidRow(None, "it was changed by an attempt whose ledger is lost")


def _wish_back(result: RowResult) -> Wish | InvalidRow:
    if result.to_status in (None, result.from_status):
        return InvalidRow(result.object_id, "its status was not changed, and nothing else can be taken back")
    if result.from_status is None:
        return InvalidRow(result.object_id, "its status before is not on the ledger: the run did not read it")
    assert result.object_id is not None
    return Wish(result.object_id, CaseChange(status=result.from_status), expected_status=result.to_status)
