"""The arguments of bulk operators, in groups, and the values of the engine that they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_persona.tasks.arguments import (
    as_bool,
    as_mapping,
    as_number,
    as_parameters,
    as_seconds,
    as_strict_number,
)
from airflow_provider_persona.tasks.declared_arguments import ArgumentGroup, argument

if TYPE_CHECKING:
    from airflow_provider_persona.bulk.apply.options import ApplyOptions
    from airflow_provider_persona.bulk.job import BulkJob
    from airflow_provider_persona.bulk.plan.draft import PlanOptions
    from airflow_provider_persona.bulk.plan.file import Plan
    from airflow_provider_persona.bulk.source.rows import RowSource
    from airflow_provider_persona.tasks.row_sources import QuerySource

_QUERY_DOC = "one query, or the name of a `.sql` file"
SQL_CONN_DOC: Final = "connection of any database that Airflow has a DB-API hook for."
HOOK_PARAMS_DOC: Final = "further arguments of the database's hook."


class Query(ArgumentGroup):
    """The query that gives the rows."""

    sql: str = argument(f"{_QUERY_DOC}.", renderer="sql")
    sql_conn_id: str = argument(SQL_CONN_DOC)
    parameters: Mapping[str, Any] | Sequence[Any] | None = argument(
        "parameters of the query, in the driver's style.", default=None, renderer="json"
    )
    sql_hook_params: Mapping[str, Any] | None = argument(HOOK_PARAMS_DOC, default=None, is_template=False)


class GivenRows(ArgumentGroup):
    """The rows themselves."""

    changes: Iterable[Mapping[str, Any]] = argument(
        'rows as mappings, like `[{"case_id": "case_…", "status": "Declined"}]`. They may hold personal data.',
        private=True,
    )


class QueryOrGivenRows(Query):
    """A query, or the rows themselves."""

    sql: str | None = argument(  # type: ignore[assignment] # here either this is given or the rows
        f"{_QUERY_DOC}; give it with `sql_conn_id`, or `changes`.", default=None, renderer="sql"
    )
    sql_conn_id: str | None = argument(SQL_CONN_DOC, default=None)  # type: ignore[assignment]
    changes: Iterable[Mapping[str, Any]] | None = argument(
        "rows as mappings, in place of a query.", default=None, private=True
    )


_TAGS = ("tags", "add_tags", "remove_tags")
COLUMNS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "case": (
        *("case_id", "status", "expected_status", "assignee", "case_queue_id", "sla_expires_in", *_TAGS),
        *("add_objects", "remove_objects", "fields"),
    ),
    "account": ("account_id", *_TAGS, "fields"),
    "inquiry": ("inquiry_id", "status", "expected_status", "comment", "note", *_TAGS, "fields"),
    "report": (
        *("report_id", "dismiss_reason", "dismiss_matches", "dismiss_type", "review_matches", "monitoring", "rerun"),
        *_TAGS,
    ),
    "transaction": ("transaction_id", "label", *_TAGS, "fields"),
}
"""Kind of object -> our names of its columns, without importing the kind while a Dag is parsed."""

MATCH_KEYS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "case": ("reference-id", "account-id", "inquiry-id", "report-id"),
    "account": ("reference-id",),
    "inquiry": ("reference-id", "account-id"),
    "report": ("reference-id", "account-id"),
    "transaction": ("reference-id",),
}
"""Kind of object -> keys that it can be found by, without importing the kind while a Dag is parsed."""


def columns(kind: str | None = None) -> type[ArgumentGroup]:
    """Return the arguments that say which columns hold what, and how they name an object.

    :param kind: the kind of object; None when another argument names it.
    """
    names, match_keys = COLUMNS_OF.get(kind or "", ()), MATCH_KEYS_OF.get(kind or "", ())
    told = ", ".join(f"`{name}`" for name in names) or "the names of the kind's columns, like `inquiry_id` and `status`"
    keys = ", ".join(f"`{key}`" for key in match_keys) or "a key that the kind has, like `reference-id`"

    class Columns(ArgumentGroup):
        """The columns of a kind of object."""

        mapping: Mapping[str, Any] | None = argument(
            f"from our names ({told}) to columns. A column that has our name needs no entry. Under `fields`: the "
            "column with an object, or a mapping of custom fields to columns.",
            default=None,
            renderer="json",
        )
        match_by: str | None = argument(
            f"find objects by {keys}, in place of their id. The value, of 500 characters at most, stands in a column "
            "of that name (`reference_id` or `reference-id`), or in the one that `mapping` names. The objects are "
            "looked up while planning, by filtered reads or by listing all. A row without an object is invalid.",
            default=None,
            is_template=False,
            choices=match_keys,
        )
        match_many: str | None = argument(
            "what to do for a row with a key that several objects have: `none` (the default: the row is invalid), "
            "`newest`, or `all` (up to 100). Columns `match_status` and `match_template` (the id of a template), where "
            "there are such, first leave only the objects that have these.",
            default=None,
            is_template=False,
            choices=("none", "newest", "all"),
        )

    return Columns


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


class Guards(ArgumentGroup):
    """Which statuses an object must or must not have."""

    only_from: str | Sequence[str] | None = argument(
        "change an object only while its status is this one, or one of these.", default=None
    )
    never_from: str | Sequence[str] | None = argument(
        "never change an object from this status, or from one of these.", default=None
    )


class InVain(ArgumentGroup):
    """Whether a run that does nothing is a failure."""

    fail_in_vain: bool = argument(
        "fail when nothing could be done for any row: all are invalid, or all are skipped and nothing in Persona has "
        "the status that they expect.",
        default=True,
        is_template=False,
    )


class Compare(ArgumentGroup):
    """How a task that plans and applies looks at the live objects."""

    compare: str = argument(
        "how rows are compared with the live objects, so that what is already right costs no write. `never`: not at "
        "all, except where a guard must look. `list`: by listing all objects of the kind, 100 a request. `auto`: by "
        "listing while that pays, and never for more than a tenth of the requests that writing takes. `get`: by "
        "reading each object just before it would be written.",
        default="never",
        is_template=False,
    )


class CompareForPlan(ArgumentGroup):
    """How a task that only plans looks at the live objects."""

    compare: str = argument(
        "how the live objects are read: `auto` (by listing while that pays, the others one by one), `list`, `get`, or "
        "`never`: then the plan knows no status, and changes made meanwhile go unnoticed.",
        default="auto",
        is_template=False,
    )
    keep_before: bool = argument(
        "keep what the plan reads of queue, tags, assignee and fields that it changes, so that "
        "`PersonaRevertPlanOperator` can take these back and not the status only. It stands in `before.jsonl` beside "
        "the plan, may hold personal data, and stays there until you delete it. For cases; needs `compare`.",
        default=False,
        is_template=False,
    )


class ThresholdsWithoutStatus(ArgumentGroup):
    """The thresholds for objects without a status that a call sets."""

    max_changes: int | float | str | None = argument(
        "fail before the first write when more rows would be changed.", default=None
    )
    max_change_ratio: int | float | str | None = argument(
        "fail before the first write when a larger share (0.0 to 1.0) of the valid rows would be changed.", default=None
    )
    max_invalid: int | float | str | None = argument(
        "fail before the first write when more rows are invalid: a number (int) or a share (float).", default=None
    )


class Thresholds(ThresholdsWithoutStatus):
    """What a plan must not exceed."""

    forbid_transitions: Iterable[Any] | Mapping[str, Any] | str | None = argument(
        "fail before the first write when an object would go from one status to another like this: "
        '`"Approved -> Declined"`, several of such, or pairs; `*` stands for any status. Needs `compare`.',
        default=None,
    )
    unknown_statuses: str = argument(
        "what to do when no live object and no template of one has a status that guards or rows name: `warn` says so "
        "in log, plan and report, `fail` stops before the first write, `ignore` does not look.",
        default="warn",
        is_template=False,
    )


class Applying(ArgumentGroup):
    """How a plan is applied."""

    dry_run: bool | str = argument(
        "write nothing; the report says what would be done. May be a template that renders to true or false.",
        default=False,
        attribute="is_dry_run",  # `dry_run` is a method of every operator
    )
    sample: int | str | None = argument(
        "change only so many rows, spread over the plan's transitions (`from -> to` status), read them again, and "
        "succeed; the others are `planned`. The next run of the same plan goes on with those: without a sample, or "
        "with a bigger one. May be a template. With `dry_run` it says nothing.",
        default=None,
    )
    max_failures: int | float | str = argument(
        "rows that may fail without failing the task: a number (int) or a share (float).", default=0
    )
    max_retry_share: float = argument(
        "retries for every success that are bearable. When there are more, Persona does not work as it should: the run "
        "stops sending, and the task fails so that its next try resumes from there.",
        default=0.5,
        is_template=False,
    )
    verify: bool = argument(
        "read the changed objects again at the end, in pages, and report those that are not as wanted.",
        default=False,
        is_template=False,
    )
    ledger_table: str | None = argument(
        "table to copy the ledger to, `table` or `schema.table`; created when it is missing.", default=None
    )
    ledger_conn_id: str | None = argument("connection of the table's database.", default=None)
    progress_every: float | timedelta = argument(
        "seconds, or a timedelta, between looks at the progress. Each is a line in the log in the first minute, and "
        "later one every 30 s or 5 % of the rows, unless it would repeat the line before.",
        default=5.0,
        is_template=False,
    )


def query_source(given: Mapping[str, Any]) -> QuerySource:
    """Return the source of rows that the arguments of `Query` name.

    :raises BulkError: when `sql` is no text.
    """
    from airflow_provider_persona.bulk.errors import BulkError
    from airflow_provider_persona.tasks.row_sources import QuerySource

    sql, hook_params = given["sql"], as_mapping(given["sql_hook_params"], "sql_hook_params")
    if not isinstance(sql, str):
        raise BulkError(f"sql is the text of one query, not a value of type {type(sql).__name__}")
    parameters = as_parameters(given["parameters"], "parameters")
    return QuerySource(sql, given["sql_conn_id"], parameters, hook_params, given.get("sql_file"))


def one_step_job(kind: str, source: RowSource, given: Mapping[str, Any]) -> BulkJob:
    """Return the job of a task that plans and applies changes of objects.

    :param kind: name of the kind of object, like `case`.
    :param source: where the rows come from.
    :param given: the arguments of `Query`, `Guards`, `Compare`, `Thresholds` and `Applying`, as rendered.
    :raises BulkError: when an argument makes no sense.
    """
    planning = _plan_options(given)
    read_first = given["compare"] == "get" and not planning.looks_while_planning
    return _object_job(kind, source, given, planning, apply_options(given, read_first=read_first))


def planning_job(kind: str, source: RowSource, given: Mapping[str, Any]) -> BulkJob:
    """Return the job of a task that only plans changes of objects; parameters and errors as for `one_step_job`."""
    from airflow_provider_persona.bulk.apply.options import ApplyOptions

    planning = _plan_options(given, record_states=given["compare"] != "never")
    applying = ApplyOptions(concurrency=given["concurrency"], fail_in_vain=given["fail_in_vain"])
    return _object_job(kind, source, given, planning, applying)


def reverting_job(plan: Plan, given: Mapping[str, Any]) -> BulkJob:
    """Return the job of a task that plans to take a change back.

    :param plan: the plan that was applied.
    :param given: the arguments of `CompareForPlan` and `Thresholds`, as rendered.
    :raises BulkError: when an argument makes no sense.
    """
    from airflow_provider_persona.bulk.apply.options import ApplyOptions
    from airflow_provider_persona.bulk.job import BulkJob
    from airflow_provider_persona.bulk.plan.revert import RowsToRevert

    planning = _plan_options(given, record_states=given["compare"] != "never")
    applying = ApplyOptions(concurrency=given["concurrency"], fail_in_vain=given["fail_in_vain"])
    return BulkJob(RowsToRevert(plan), plan.header.subject, planning=planning, applying=applying)


def _object_job(
    kind: str, source: RowSource, given: Mapping[str, Any], planning: PlanOptions, applying: ApplyOptions
) -> BulkJob:
    from airflow_provider_persona.bulk.job import BulkJob
    from airflow_provider_persona.bulk.plan.guards import Guards
    from airflow_provider_persona.bulk.source.columns import ObjectRows
    from airflow_provider_persona.bulk.source.matching import Match
    from airflow_provider_persona.bulk.source.rows import MappedRows
    from airflow_provider_persona.bulk.subjects import object_subject

    subject = object_subject(kind)
    match = Match.of(given["match_by"], given["match_many"], subject)
    return BulkJob(
        rows=MappedRows(source, ObjectRows(subject, as_mapping(given["mapping"], "mapping"), match)),
        subject=subject,
        guards=Guards.of(given.get("only_from"), given.get("never_from")),
        planning=replace(planning, match=match),
        applying=applying,
    )


def _plan_options(given: Mapping[str, Any], *, record_states: bool = False) -> PlanOptions:
    """Return how a plan is made.

    :param record_states: whether the plan holds the status of every object, so that drift can be seen later.
    """
    from airflow_provider_persona.bulk.errors import BulkError
    from airflow_provider_persona.bulk.plan.compare import CompareMode
    from airflow_provider_persona.bulk.plan.draft import PlanOptions
    from airflow_provider_persona.bulk.plan.labels import UnknownStatuses
    from airflow_provider_persona.bulk.plan.limits import choice
    from airflow_provider_persona.bulk.plan.thresholds import Thresholds, transitions

    max_changes = as_number(given["max_changes"], "max_changes", shown=True)
    if isinstance(max_changes, float):
        raise BulkError("max_changes is a number of rows; for a share of them use max_change_ratio")
    thresholds = Thresholds(
        max_changes=max_changes,
        max_change_ratio=as_number(given["max_change_ratio"], "max_change_ratio", shown=True),
        max_invalid=as_number(given["max_invalid"], "max_invalid", shown=True),
        forbid_transitions=transitions(given.get("forbid_transitions")),
        unknown_statuses=choice(
            UnknownStatuses, given.get("unknown_statuses", UnknownStatuses.IGNORE), "unknown_statuses"
        ),
    )
    keeps = as_bool(given.get("keep_before"), "keep_before", shown=True) or False
    return PlanOptions(choice(CompareMode, given["compare"], "compare"), thresholds, record_states, keep_before=keeps)


def apply_options(given: Mapping[str, Any], *, read_first: bool = False, heed_drift: bool = False) -> ApplyOptions:
    """Return how a plan is applied.

    :param given: the arguments of `Applying`, as rendered.
    :param read_first: whether each object is read just before it would be written.
    :param heed_drift: whether to leave alone an object that was changed after it was read for the plan.
    :raises BulkError: when an argument makes no sense.
    """
    from airflow_provider_persona.bulk.apply.options import ApplyOptions

    return ApplyOptions(
        read_first=read_first,
        heed_drift=heed_drift,
        dry_run=as_bool(given["dry_run"], "dry_run", shown=True) or False,
        sample=as_number(given["sample"], "sample", shown=True),
        concurrency=given["concurrency"],
        max_failures=as_number(given["max_failures"], "max_failures", shown=True) or 0,
        max_retry_share=float(as_strict_number(given["max_retry_share"], "max_retry_share") or 0),
        verify=as_bool(given["verify"], "verify", shown=True) or False,
        progress_every=as_seconds(given["progress_every"], "progress_every"),
        fail_in_vain=given["fail_in_vain"],
    )
