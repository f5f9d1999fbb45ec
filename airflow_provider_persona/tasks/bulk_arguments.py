"""The arguments of bulk operators, in groups, and the values of the engine that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.tasks.argument_groups import Argument, ArgumentGroup
from airflow_provider_persona.tasks.arguments import as_bool, as_mapping, as_number, as_seconds, as_strict_number
from airflow_provider_persona.tasks.match_arguments import matching

if TYPE_CHECKING:
    from airflow_provider_persona.bulk.apply.options import ApplyOptions
    from airflow_provider_persona.bulk.job import BulkJob
    from airflow_provider_persona.bulk.plan.draft import PlanOptions
    from airflow_provider_persona.bulk.plan.file import Plan
    from airflow_provider_persona.bulk.source.rows import RowSource
    from airflow_provider_persona.tasks.row_sources import QuerySource

_QUERY_DOC = "one query, or the name of a `.sql` file"
_LABELS = "str | Sequence[str] | None"
_NUMBER = "int | float | str | None"

QUERY: Final = ArgumentGroup.of(
    Argument("sql", "str", f"{_QUERY_DOC}.", renderer="sql"),
    Argument("sql_conn_id", "str", "connection of any database that Airflow has a DB-API hook for."),
    Argument(
        "parameters",
        "Mapping[str, Any] | Sequence[Any] | None",
        "parameters of the query, in the driver's style.",
        default=None,
        renderer="json",
    ),
    Argument(
        "sql_hook_params",
        "Mapping[str, Any] | None",
        "further arguments of the database's hook.",
        default=None,
        is_template=False,
    ),
)

GIVEN_ROWS: Final = ArgumentGroup.of(
    Argument(
        "changes",
        "Iterable[Mapping[str, Any]]",
        'rows as mappings, like `[{"case_id": "case_…", "status": "Declined"}]`. Airflow does not keep what a template '
        "in it renders to, because rows may hold personal data.",
        is_private=True,
    )
)

QUERY_OR_GIVEN_ROWS: Final = ArgumentGroup.of(
    Argument("sql", "str | None", f"{_QUERY_DOC}; give it with `sql_conn_id`, or `changes`.", None, renderer="sql"),
    Argument("sql_conn_id", "str | None", "connection of any database that Airflow has a DB-API hook for.", None),
    *QUERY.arguments[2:],
    Argument(
        "changes",
        "Iterable[Mapping[str, Any]] | None",
        "rows as mappings, in place of a query. Airflow does not keep what a template in it renders to.",
        default=None,
        is_private=True,
    ),
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


def columns(kind: str | None = None) -> ArgumentGroup:
    """Return the arguments that say which columns hold what, and how they name an object.

    :param kind: the kind of object; None when another argument names it.
    """
    names = COLUMNS_OF.get(kind or "", ())
    told = ", ".join(f"`{name}`" for name in names) or "the names of the kind's columns, like `inquiry_id` and `status`"
    doc = (
        f"from our names ({told}) to columns. A column that has our name needs no entry. Under `fields`: the column "
        "with an object, or a mapping of custom fields to columns."
    )
    mapping = Argument("mapping", "Mapping[str, Any] | None", doc, default=None, renderer="json")
    return ArgumentGroup.of(mapping) + matching(kind)


COLUMNS: Final = columns("case")

GUARDS: Final = ArgumentGroup.of(
    Argument("only_from", _LABELS, "change an object only while its status is this one, or one of these.", None),
    Argument("never_from", _LABELS, "never change an object from this status, or from one of these.", None),
)

IN_VAIN: Final = ArgumentGroup.of(
    Argument(
        "fail_in_vain",
        "bool",
        "fail when nothing could be done for any row: all are invalid, or all are skipped and nothing in Persona has "
        "the status that they expect.",
        default=True,
        is_template=False,
    )
)

COMPARE: Final = ArgumentGroup.of(
    Argument(
        "compare",
        "str",
        "how rows are compared with the live objects, so that what is already right costs no write. `never`: not at "
        "all, except where a guard must look. `list`: by listing all objects of the kind, 100 a request. `auto`: by "
        "listing while that pays, and never for more than a tenth of the requests that writing takes. `get`: by "
        "reading each object just before it would be written.",
        default="never",
        is_template=False,
    )
)

COMPARE_FOR_PLAN: Final = ArgumentGroup.of(
    Argument(
        "compare",
        "str",
        "how the live objects are read: `auto` (by listing while that pays, the others one by one), `list`, `get`, or "
        "`never`: then the plan knows no status, and changes made meanwhile go unnoticed.",
        default="auto",
        is_template=False,
    )
)

BEFORE: Final = ArgumentGroup.of(
    Argument(
        "keep_before",
        "bool",
        "keep what the plan reads of queue, tags, assignee and fields that it changes, so that "
        "`PersonaRevertPlanOperator` can take these back and not the status only. It stands in `before.jsonl` beside "
        "the plan, may hold personal data, and stays there until you delete it. For cases; needs `compare`.",
        default=False,
        is_template=False,
    )
)

THRESHOLDS: Final = ArgumentGroup.of(
    Argument("max_changes", _NUMBER, "fail before the first write when more rows would be changed.", None),
    Argument(
        "max_change_ratio",
        _NUMBER,
        "fail before the first write when a larger share (0.0 to 1.0) of the valid rows would be changed.",
        None,
    ),
    Argument(
        "max_invalid",
        _NUMBER,
        "fail before the first write when more rows are invalid: a number (int) or a share (float).",
        None,
    ),
    Argument(
        "forbid_transitions",
        "Iterable[Any] | Mapping[str, Any] | str | None",
        "fail before the first write when an object would go from one status to another like this: "
        '`"Approved -> Declined"`, several of such, or pairs; `*` stands for any status. Needs `compare`.',
        default=None,
    ),
    Argument(
        "unknown_statuses",
        "str",
        "what to do when no live object and no template of one has a status that guards or rows name: `warn` says so "
        "in log, plan and report, `fail` stops before the first write, `ignore` does not look.",
        default="warn",
        is_template=False,
    ),
)

THRESHOLDS_WITHOUT_STATUS: Final = ArgumentGroup.of(*THRESHOLDS.arguments[:3])
"""The thresholds for objects without a status that a call sets."""

APPLYING: Final = ArgumentGroup.of(
    Argument(
        "dry_run",
        "bool | str",
        "write nothing; the report says what would be done. May be a template that renders to true or false.",
        default=False,
        attribute="is_dry_run",  # `dry_run` is a method of every operator
    ),
    Argument(
        "sample",
        "int | str | None",
        "change only so many rows, spread over the plan's transitions (`from -> to` status), read them again, and "
        "succeed; the others are `planned`. The next run of the same plan goes on with those: without a sample, or "
        "with a bigger one. May be a template. With `dry_run` it says nothing.",
        default=None,
    ),
    Argument(
        "max_failures",
        "int | float | str",
        "rows that may fail without failing the task: a number (int) or a share (float).",
        default=0,
    ),
    Argument(
        "max_retry_share",
        "float",
        "retries for every success that are bearable. When there are more, Persona does not work as it should: the run "
        "stops sending, and the task fails so that its next try resumes from there.",
        default=0.5,
        is_template=False,
    ),
    Argument(
        "verify",
        "bool",
        "read the changed objects again at the end, in pages, and report those that are not as wanted.",
        default=False,
        is_template=False,
    ),
    Argument(
        "ledger_table",
        "str | None",
        "table to copy the ledger to, `table` or `schema.table`; created when it is missing.",
        default=None,
    ),
    Argument("ledger_conn_id", "str | None", "connection of the table's database.", default=None),
    Argument(
        "progress_every",
        "float | timedelta",
        "seconds, or a timedelta, between looks at the progress. Each is a line in the log in the first minute, and "
        "later one every 30 s or 5 % of the rows, unless it would repeat the line before.",
        default=5.0,
        is_template=False,
    ),
)

KEEPING: Final = ArgumentGroup.of(
    Argument(
        "state_path",
        "str | None",
        "folder for plans and ledgers: a local path or an address in an object store; by default what `[persona] "
        "state_path` says, or the folder `persona` below AIRFLOW_HOME. Where workers lose their disks, or one task "
        "plans and another applies, give an object store.",
        default=None,
    ),
    Argument(
        "reserve",
        "float | None",
        "share of the request limit left to others; by default the connection's, or 0.2.",
        default=None,
        is_template=False,
    ),
    Argument(
        "concurrency",
        "int",
        "requests under way at once, which is also how many requests a killed task may have to repeat.",
        default=24,
        is_template=False,
    ),
    Argument("persona_conn_id", "str", "connection of type `persona`.", default=DEFAULT_CONN_ID),
)


def query_source(given: Mapping[str, Any]) -> QuerySource:
    """Return the source of rows that the arguments of `QUERY` name.

    :raises BulkError: when `sql` is no text.
    """
    from airflow_provider_persona.bulk.errors import BulkError
    from airflow_provider_persona.tasks.row_sources import QuerySource

    sql, hook_params = given["sql"], as_mapping(given["sql_hook_params"], "sql_hook_params")
    if not isinstance(sql, str):
        raise BulkError(f"sql is the text of one query, not a value of type {type(sql).__name__}")
    return QuerySource(sql, given["sql_conn_id"], given["parameters"], hook_params, given.get("sql_file"))


def one_step_job(kind: str, source: RowSource, given: Mapping[str, Any]) -> BulkJob:
    """Return the job of a task that plans and applies changes of objects.

    :param kind: name of the kind of object, like `case`.
    :param source: where the rows come from.
    :param given: the arguments of `COLUMNS`, `GUARDS`, `COMPARE`, `THRESHOLDS`, `APPLYING` and `KEEPING`, as rendered.
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
    :param given: the arguments of `COMPARE_FOR_PLAN`, `THRESHOLDS` and `KEEPING`, as rendered.
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

    :param given: the arguments of `APPLYING` and `KEEPING`, as rendered.
    :param read_first: whether each object is read just before it would be written.
    :param heed_drift: whether to leave alone an object that was changed after it was read for the plan.
    :raises BulkError: when an argument makes no sense.
    """
    from airflow_provider_persona.bulk.apply.options import ApplyOptions
    from airflow_provider_persona.bulk.ledger.report import FailureLimit

    return ApplyOptions(
        read_first=read_first,
        heed_drift=heed_drift,
        dry_run=as_bool(given["dry_run"], "dry_run", shown=True) or False,
        sample=as_number(given["sample"], "sample", shown=True),
        concurrency=given["concurrency"],
        max_failures=FailureLimit(as_number(given["max_failures"], "max_failures", shown=True) or 0),
        max_retry_share=float(as_strict_number(given["max_retry_share"], "max_retry_share") or 0),
        verify=as_bool(given["verify"], "verify", shown=True) or False,
        progress_every=as_seconds(given["progress_every"], "progress_every"),
        fail_in_vain=given["fail_in_vain"],
    )
