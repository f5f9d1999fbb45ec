"""The base of the transfers out of Persona: their shared arguments, and Airflow's side of a read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.tasks.arguments import as_mapping, as_seconds
from airflow_provider_persona.tasks.declared_arguments import RESERVE_DOC, Argument, TakesArguments, argument, given_to
from airflow_provider_persona.tasks.identity import TaskIdentity
from airflow_provider_persona.tasks.lineage import TaskDeed, kind_of_operation, tell_assets
from airflow_provider_persona.tasks.stopping import end_task, stop_of
from airflow_provider_persona.version_compat import AirflowOptionalProviderFeatureException, BaseOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.export.job import ReadJob, ReadTarget


class PersonaReadOperator(BaseOperator, metaclass=TakesArguments):
    """Reads any list or search of Persona page by page, 100 objects a request. A subclass says where to.

    A search is begun again when its order changes while it is read, three times at most, and may bring objects again.
    """

    arguments: ClassVar[Mapping[str, Argument]]
    ui_color = "#dce6ff"
    deed: TaskDeed | None = None
    on_kill = end_task

    operation_id: str = argument("a list or search, like `list-all-cases` or `search-accounts`.", is_template=False)
    path: Mapping[str, str] | None = argument(
        'values of the path\'s parameters, like `{"account-id": "act_…"}`.', default=None, private=True
    )
    query: Mapping[str, Any] | None = argument(
        'query parameters, like `{"filter[status]": "Open"}`. Filters and searches may hold personal data.',
        default=None,
        private=True,
    )
    body: Mapping[str, Any] | None = argument('body of a search, like `{"query": {...}}`.', default=None, private=True)
    fields: Sequence[str] | Mapping[str, Sequence[str]] | None = argument(
        'attributes to ask for, like `["status", "fields.risk_score"]`, or a mapping from type to attributes; by '
        "default those that `columns` names, where the list can be asked for some, else all, which holds personal "
        "data.",
        default=None,
        is_template=False,
    )
    columns: Mapping[str, str] | None = argument(
        'from columns to attributes, dotted: `{"status": "status", "score": "fields.risk_score"}`; '
        "`relationships.accounts` gives the ids of related objects. The columns `id` and `type` are there in any case.",
        default=None,
        is_template=False,
    )
    incremental: bool = argument(
        "read only what is new since the last read. Lists can be followed by creation only: such a read sees objects "
        "made since, never changes of older ones. Searches (cases, accounts, inquiries) are followed by the time of "
        "change. An object may appear late, in the index of a search by more than a minute, so each read goes back "
        "`lookback` seconds before the mark and may bring an object again. The mark is kept on the first outlet that "
        "is an asset where Airflow can do so (3.3), else in a file below `[persona] state_path`; each task, query and "
        "connection has its own.",
        default=False,
        is_template=False,
    )
    lookback: float | timedelta | None = argument(
        "seconds, or a timedelta, that an incremental read goes back before its mark: by default 900 for a search and "
        "120 for a list. What appears later than that is missed; with 0 a list ends at the newest object of the read "
        "before.",
        default=None,
        is_template=False,
    )
    reserve: float | None = argument(RESERVE_DOC, default=None, is_template=False)
    state_path: str | None = argument(
        "folder for the mark, where no asset keeps it; by default `[persona] state_path`.", default=None
    )
    persona_conn_id: str = argument("connection of type `persona`.", default=DEFAULT_CONN_ID)

    def given(self) -> dict[str, Any]:
        """Return the values of the arguments by name, as rendered."""
        return given_to(self)

    def check_arguments(self) -> None:
        """Check the call, as far as it is known when the Dag is parsed.

        :raises BadCallError: when there is no such list, or a parameter or key is missing.
        """
        from airflow_provider_persona.export.listing import check_fields, list_operation

        given = self.given()
        check_fields(given["fields"])
        if given["lookback"] is not None:
            as_seconds(given["lookback"], "lookback")
        found = list_operation(given["operation_id"], bounded=given["incremental"])
        path, query, body = given["path"], given["query"], given["body"]
        if not all(value is None or isinstance(value, Mapping) for value in (path, query, body)):
            return  # templates or results of other tasks; they are checked when the task runs
        if given["incremental"] and found.method == "POST":
            body = {"query": {"added": "when it runs"}, **(body or {})}
        found.check(path or (), query or (), body)

    def job(self, context: Context) -> ReadJob:
        """Return what is read, checked.

        :raises ProviderError: when the arguments cannot be used.
        """
        job = _read_job(self.given(), context)
        job.check()
        return job

    def read(self, job: ReadJob, target: ReadTarget, context: Context) -> dict[str, Any]:
        """Read into a target, and keep the mark for the next read.

        :returns: for XCom: the report's counts, and `requests`.
        :raises PersonaError: typed.
        :raises StoreError: when it cannot be written.
        """
        from airflow_provider_persona.hooks.persona import PersonaHook
        from airflow_provider_persona.tasks.read_marks import mark_store
        from airflow_provider_persona.tasks.state_path import state_root

        given = self.given()
        marks = None
        if given["incremental"]:
            marks = mark_store(self.outlets, context, job.source, state_root(given["state_path"]))
        with PersonaHook(given["persona_conn_id"], reserve=given["reserve"]) as hook:
            client = stop_of(self).hold(hook.client)
            report = target.fill(job, client, marks.read() if marks else None)
            # Within the block: the hook lets go of its client at the end.
            requests, environment = client.usage.requests, client.environment.seen
        self.deed = TaskDeed(kind_of_operation(given["operation_id"]), environment, rows=report.rows)
        tell_assets(self, context, self.deed)
        # Last: a mark that is there before its objects are would lose them, if the task ends in between.
        if marks and report.newest:
            marks.write(report.newest)
        if report.rows and report.unseen:
            unseen = ", ".join(report.unseen)
            self.log.warning("No object had the attribute of these columns, which stay empty: %s", unseen)
        return {**report.counts, "requests": requests}


def _read_job(given: Mapping[str, Any], context: Context) -> ReadJob:
    from airflow_provider_persona.api.messages import canonical_json
    from airflow_provider_persona.export.columns import Columns
    from airflow_provider_persona.export.job import ReadJob
    from airflow_provider_persona.export.listing import Listing
    from airflow_provider_persona.storage.run_folders import fingerprint

    listing = Listing(
        given["operation_id"],
        path=as_mapping(given["path"], "path"),
        query=as_mapping(given["query"], "query"),
        body=as_mapping(given["body"], "body"),
        fields=given["fields"],
        bounded=given["incremental"],
        lookback=None if given["lookback"] is None else as_seconds(given["lookback"], "lookback"),
    )
    # How a fingerprint is made must not change: marks and unfinished exports are found by it.
    parts = (canonical_json(part).decode() for part in (listing.path, listing.query, listing.body))
    source = fingerprint(given["operation_id"], given["persona_conn_id"], given["incremental"], *parts)
    columns: Sequence[str] | None = Columns(given["columns"]).attributes
    if listing.is_sparse and not listing.fields:
        listing = replace(listing, fields=columns)
    return ReadJob(listing, given["columns"], source, str(TaskIdentity.of(context["ti"])))


def require_parquet_library() -> None:
    """Check that Parquet can be written, before anything is read.

    :raises AirflowOptionalProviderFeatureException: when pyarrow is missing.
    """
    from airflow_provider_persona.export.errors import MissingLibraryError
    from airflow_provider_persona.export.parts import FileFormat, need_library

    try:
        need_library(FileFormat.PARQUET)
    except MissingLibraryError as error:
        raise AirflowOptionalProviderFeatureException(str(error)) from error
