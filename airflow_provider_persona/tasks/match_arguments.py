"""The arguments by which bulk operators find objects by another key than their id, and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from airflow_provider_persona.tasks.argument_groups import Argument, ArgumentGroup

MATCH_KEYS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "case": ("reference-id", "account-id", "inquiry-id", "report-id"),
    "account": ("reference-id",),
    "inquiry": ("reference-id", "account-id"),
    "report": ("reference-id", "account-id"),
    "transaction": ("reference-id",),
}
"""Kind of object -> keys that it can be found by, without importing the kind while a Dag is parsed."""

MATCH_MANY: Final = ("none", "newest", "all")


def matching(kind: str | None = None) -> ArgumentGroup:
    """Return the arguments that say how rows name their objects, where they do not by id.

    :param kind: the kind of object; None when another argument names it.
    """
    keys = MATCH_KEYS_OF.get(kind or "", ())
    told = ", ".join(f"`{key}`" for key in keys) or "a key that the kind has, like `reference-id`"
    return ArgumentGroup.of(
        Argument(
            "match_by",
            "str | None",
            f"find objects by {told}, in place of their id. The value, of 500 characters at most, stands in a column "
            "of that name (`reference_id` or `reference-id`), or in the one that `mapping` names. The objects are "
            "looked up while planning, by filtered reads or by listing all. A row without an object is invalid.",
            default=None,
            is_template=False,
            choices=keys,
        ),
        Argument(
            "match_many",
            "str | None",
            "what to do for a row with a key that several objects have: `none` (the default: the row is invalid), "
            "`newest`, or `all` (up to 100). Columns `match_status` and `match_template` (the id of a template), where "
            "there are such, first leave only the objects that have these.",
            default=None,
            is_template=False,
            choices=MATCH_MANY,
        ),
    )


def check_matching(given: Mapping[str, Any], kind: str | None = None) -> None:
    """Check when the Dag is parsed that the arguments fit together.

    :param given: the operator's arguments; those of other operators name no key.
    :param kind: the kind of object, where another argument names it.
    :raises ValueError: when they do not, or the kind has no such key.
    """
    by = given.get("match_by")
    if given.get("match_many") is not None and by is None:
        raise ValueError("match_many says nothing without match_by")
    if kind is not None and by is not None and by not in MATCH_KEYS_OF[kind]:
        raise ValueError(f"match_by is {', '.join(MATCH_KEYS_OF[kind])} for objects of kind {kind}, not {by!r}")
