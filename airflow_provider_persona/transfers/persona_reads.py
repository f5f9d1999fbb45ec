"""What the transfers out of Persona share: which list or search is read, which attributes, and from which mark on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.operators.private_templates import PrivateTemplate, revealed

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.transfers.columns import Columns
    from airflow_provider_persona.transfers.listing import Listing
    from airflow_provider_persona.transfers.read_marks import MarkStore


class PersonaReadOperator(BaseOperator):
    """Reads any list or search of Persona page by page, 100 objects a request.

    What `path`, `query` and `body` render to is not kept by Airflow, since filters and searches may hold personal data.

    **Incremental reads** begin where the last one that succeeded had begun. Lists can be followed by creation only:
    such a read sees objects made since, never changes of older ones. Searches (cases, accounts, inquiries) are followed
    by the time of change. An object may appear late, in the index of a search by more than a minute, so each read goes
    back `lookback` seconds before the mark and may bring an object again. For changes of anything else read without
    `incremental`. The mark is kept on the first outlet that is an asset where Airflow can do so (3.3), else in a file
    below `[persona] state_path`; each task, query and connection has its own.

    A search whose order changes while it is read is begun again, three times at most, and may bring objects again.

    :param operation_id: a list or search of the catalogue, like `list-all-cases` or `search-accounts`.
    :param path: values of the path's parameters, like `{"account-id": "act_…"}`.
    :param query: query parameters, like `{"filter[status]": "Open"}`.
    :param body: body of a search, like `{"query": {...}}`.
    :param fields: attributes to ask for, like `["status", "fields.risk_score"]`, or a mapping from type to attributes;
        by default those that `columns` names, where the list can be asked for some, or all, which holds personal data.
    :param columns: from columns to attributes, dotted: `{"status": "status", "score": "fields.risk_score"}`;
        `relationships.accounts` gives the ids of related objects. The columns `id` and `type` are there in any case.
    :param incremental: read only what is new since the last read.
    :param lookback: seconds that an incremental read goes back before its mark: by default 900 for a search and 120 for
        a list. What appears later than that is missed; with 0 a list ends at the newest object of the read before.
    :param reserve: share of the request limit left to others; by default the connection's, or 0.2.
    :param state_path: folder for the mark, where no asset keeps it; by default `[persona] state_path`.
    :param persona_conn_id: connection of type `persona`.
    :raises BadCallError: at Dag parse, when there is no such list, or a parameter or key is missing.
    """

    template_fields: Sequence[str] = ("path", "query", "body", "state_path", "persona_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"columns": "json", "fields": "json"}
    ui_color = "#dce6ff"
    path = PrivateTemplate()
    query = PrivateTemplate()
    body = PrivateTemplate()

    def __init__(
        self,
        *,
        operation_id: str,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        fields: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        columns: Mapping[str, str] | None = None,
        incremental: bool = False,
        lookback: float | None = None,
        reserve: float | None = None,
        state_path: str | None = None,
        persona_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.operation_id = operation_id
        self.path = path
        self.query = query
        self.body = body
        self.fields = fields
        self.columns = columns
        self.incremental = incremental
        self.lookback = lookback
        self.reserve = reserve
        self.state_path = state_path
        self.persona_conn_id = persona_conn_id
        self._check_call(path, query, body)

    def listing(self, columns: Columns) -> Listing:
        """Return what is to be read, as rendered."""
        from airflow_provider_persona.transfers.listing import Listing

        listing = Listing(
            self.operation_id,
            path=_mapping(revealed(self.path), "path"),
            query=_mapping(revealed(self.query), "query"),
            body=_mapping(revealed(self.body), "body"),
            fields=self.fields,
            bounded=self.incremental,
            lookback=self.lookback,
        )
        return listing if self.fields or not listing.is_sparse else replace(listing, fields=columns.attributes)

    def source(self, listing: Listing) -> str:
        """Return a fingerprint of what is read, of which connection, however it is written."""
        from airflow_provider_persona.api.messages import canonical_json
        from airflow_provider_persona.bulk.run import fingerprint

        parts = (canonical_json(part).decode() for part in (listing.path, listing.query, listing.body))
        return fingerprint(self.operation_id, self.persona_conn_id, self.incremental, *parts)

    def marks(self, context: Context, listing: Listing) -> MarkStore | None:
        """Return where the mark is kept, None for a read that is not incremental."""
        from airflow_provider_persona.state_root import state_root
        from airflow_provider_persona.transfers.read_marks import mark_store

        if not self.incremental:
            return None
        return mark_store(self, context, self.source(listing), state_root(self.state_path))

    def warn_of_unseen(self, columns: Columns, rows: int) -> None:
        """Say which columns stayed empty because no object had their attribute: most often a slip of the pen."""
        if rows and columns.unseen:
            self.log.warning(
                "No object had the attribute of these columns, which stay empty: %s", ", ".join(columns.unseen)
            )

    def _check_call(self, path: Any, query: Any, body: Any) -> None:
        from airflow_provider_persona.transfers.listing import check_fields, list_operation

        check_fields(self.fields)
        found = list_operation(self.operation_id, bounded=self.incremental)
        given = [value for value in (path, query, body) if value is not None]
        if not all(isinstance(value, Mapping) for value in given):
            return  # templates or results of other tasks; they are looked at when the task runs
        if self.incremental and found.method == "POST":
            body = {"query": {"added": "when it runs"}, **(body or {})}
        found.check(path or (), query or (), body)


def _mapping(value: Any, name: str) -> Mapping[str, Any] | None:
    from airflow_provider_persona.api.operations import BadCallError

    if value is None or isinstance(value, Mapping):
        return value
    raise BadCallError(f"{name} is a mapping, not a {type(value).__name__}")
