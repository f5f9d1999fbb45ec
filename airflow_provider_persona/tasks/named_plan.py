"""The plan that a task before named in XCom: found and checked; refused when it is another, too old or rejected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.tasks.arguments import as_bool, as_names, read_back

if TYPE_CHECKING:
    from airflow_provider_persona.bulk.ledger.report import Approval
    from airflow_provider_persona.bulk.plan.file import Plan


def approval_of(given: Mapping[str, Any] | str) -> Approval | None:
    """Return the approval that a task before named beside the plan, or None."""
    from airflow_provider_persona.bulk.ledger.report import Approval

    named = read_back(given) if isinstance(given, str) else given
    return Approval.of(named.get("approval")) if isinstance(named, Mapping) else None


def places_of_plans(state_path: str | None, trusted_paths: Any) -> list[str]:
    """Return the folders, or addresses in object stores, that a plan may come from.

    :param state_path: the task's own, or None for the configured one.
    :param trusted_paths: those beside it, as the argument was rendered.
    :raises BadCallError: when `trusted_paths` is no list of texts. A text would be taken for its characters.
    """
    from airflow_provider_persona.tasks.state_path import state_address

    return [state_address(state_path), *(as_names(trusted_paths, "trusted_paths") or ())]


def approved_plan(
    given: Mapping[str, Any] | str, places: Sequence[str], max_age: timedelta | None, now: datetime
) -> Plan:
    """Return the plan that a task before named, when it is still that one and not too old.

    :param given: what that task returned: the plan's address under `plan`, its hash under `hash` or `plan_hash`; from
        an approval `approved` too.
    :param places: folders, or addresses in object stores, that plans may come from.
    :param max_age: how old it may be, or None.
    :param now: UTC time.
    :raises PlanError: when it is gone, edited, another one, too old, or was rejected.
    """
    from airflow_provider_persona.bulk.errors import PlanError
    from airflow_provider_persona.bulk.ledger.report import Approval
    from airflow_provider_persona.bulk.plan.file import read_plan
    from airflow_provider_persona.tasks.state_path import is_within, store_path

    named = read_back(given) if isinstance(given, str) else given
    if not isinstance(named, Mapping):
        raise PlanError(f"plan is what the task before returned to XCom, a mapping, not {type(given).__name__}")
    if as_bool(named.get("approved"), "approved") is False:  # a template makes a text of it
        by = (Approval.of(named.get("approval")) or Approval(None, None, None)).by
        raise PlanError(f"the plan was rejected by {by or 'nobody in time'}; it is not applied")
    uri, wanted = named.get("plan"), named.get("hash") or named.get("plan_hash")
    if not uri or not wanted:
        raise PlanError("a plan is given by its address under `plan` and its hash under `hash`; one of them is missing")
    if not isinstance(uri, str) or not isinstance(wanted, str):
        raise PlanError(
            f"a plan's address and hash are texts, not {type(uri).__name__} and {type(wanted).__name__}; give what the "
            "planning task returned"
        )
    # Before anything is read: the address comes from XCom, and whoever may write that could name any file.
    if not any(is_within(uri, place) for place in places):
        raise PlanError(
            f"the plan at {uri} is neither below the state path nor in its object store, so it is not read. Give this "
            "task the state_path of the planning task, or name the folder in trusted_paths"
        )
    plan = read_plan(store_path(uri).parent)
    if plan is None:
        raise PlanError(
            f"there is no plan at {uri}; where tasks run on several machines, state_path must be an object store or a "
            "folder that all of them see"
        )
    if plan.header.hash != wanted:
        raise PlanError(f"the plan at {uri} has hash {plan.header.hash}, and {wanted} was asked for; it is not applied")
    age = now - datetime.fromisoformat(plan.header.created_at)
    if max_age is not None and age > max_age:
        raise PlanError(f"the plan at {uri} is {age} old, and max_age is {max_age}; plan anew")
    return plan
