"""Operators that hand Persona a file of accounts or of list items to import.

They return the importer's id; wait for it with a sensor, and look at its counts: `ready` may still mean that rows were
refused. Every operator takes the parameters of `PersonaCallOperator` too: `result` and `persona_conn_id`.
"""

from __future__ import annotations

import csv
import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.operators.call_checks import NotYetKnown
from airflow_provider_persona.operators.named import NamedOperator, put
from airflow_provider_persona.operators.private_templates import revealed

MAX_FILE_BYTES: Final = 10_000_000
"""What Persona takes unless the account's settings say otherwise."""

_ACCOUNT_COLUMNS: Final = (
    "reference_id",
    "name_first",
    "name_middle",
    "name_last",
    "birthdate",
    "social_security_number",
    "tags",
)
_ITEMS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "email-address": ("import-email-address-lists", ("value", "match_type")),
    "geolocation": ("import-geolocation-lists", ("latitude", "longitude", "radius_meters")),
    "government-id-number": ("import-government-id-number-lists", ("id_number", "id_class")),
    "ip-address": ("import-ip-address-lists", ("value",)),
    "name": ("import-name-lists", ("name_first", "name_last")),
    "phone-number": ("import-phone-number-lists", ("value",)),
}


class ImportOperator(NamedOperator):
    """What the operators share that import a CSV file.

    Nothing is imported twice by Airflow's own retries within an hour, as long as the file stays as it is.

    :param file: a CSV file with a header: a local path or an address in an object store, or
    :param rows: what it would hold, as mappings. Not kept by Airflow.
    :param max_bytes: bytes that the file may have at most.
    """

    private = ("rows",)
    also_templated: ClassVar[Sequence[str]] = ("file", "rows")

    def __init__(
        self,
        *,
        file: str | None = None,
        rows: Sequence[Mapping[str, Any]] | None = None,
        max_bytes: int = MAX_FILE_BYTES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (file is None) == (rows is None):
            raise BadCallError(f"{self.task_id}: give either file or rows")
        self.file = file
        self.rows = rows
        self.max_bytes = max_bytes

    def columns(self) -> Sequence[str]:
        """Return the columns that Persona knows."""
        raise NotImplementedError

    def body_values(self) -> dict[str, Any]:
        """Return the file with its name.

        :raises BadCallError: when there is nothing to import, too much, or a column that Persona does not know.
        """
        if self.file is not None:
            content, name = read_file(self.file, self.max_bytes), self.file.rstrip("/").rpartition("/")[2]
        else:
            content, name = _as_csv(revealed(self.rows), self.columns()), "rows.csv"
        if len(content) > self.max_bytes:
            raise BadCallError(f"what is to be imported has more than {self.max_bytes} bytes; split it")
        body: dict[str, Any] = {}
        put(body, "data.attributes.file", {"data": b64encode(content).decode(), "filename": name})
        return body

    def known_body(self) -> Mapping[str, Any]:
        """Return the body without the file, which is read when the task runs."""
        return {"data": {"attributes": {"file": NotYetKnown()}}}


def read_file(address: str, limit: int) -> bytes:
    """Read a local file or one in an object store, of which no more than `limit` bytes and one.

    :raises BadCallError: when it cannot be read, or is empty.
    """
    from airflow_provider_persona.state_root import store_path

    try:
        with store_path(address).open("rb") as file:
            content: bytes = file.read(limit + 1)
    except FileNotFoundError:
        raise BadCallError(f"there is no file {address}") from None
    if not content:
        raise BadCallError(f"the file {address} is empty")
    return content


def _as_csv(rows: Any, columns: Sequence[str]) -> bytes:
    given = list(rows) if isinstance(rows, Sequence) and not isinstance(rows, str) else []
    if not given or not all(isinstance(row, Mapping) for row in given):
        raise BadCallError("rows is a list of mappings, with at least one in it")
    named = list(dict.fromkeys(name for row in given for name in row))
    unknown = [name for name in named if name not in columns]
    if unknown:
        raise BadCallError(f"Persona imports no column {', '.join(map(str, unknown))}; it knows {', '.join(columns)}")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, named, restval="")
    writer.writeheader()
    writer.writerows({name: _as_cell(value) for name, value in row.items()} for row in given)
    return text.getvalue().encode()


def _as_cell(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, list | tuple | set) else value


class PersonaImportAccountsOperator(ImportOperator):
    """Imports accounts, and returns the importer's id. The key needs the permission `account.write` too.

    Example: `PersonaImportAccountsOperator(task_id="import", file="s3://aws_default@bucket/accounts.csv")`

    :param file: a CSV file with a header: a local path or an address in an object store, or
    :param rows: what it would hold, as mappings with any of `reference_id`, `name_first`, `name_middle`, `name_last`,
        `birthdate`, `social_security_number` and `tags`. Not kept by Airflow.
    :param max_bytes: bytes that the file may have at most.
    """

    operation_id = "import-an-account"

    def columns(self) -> Sequence[str]:
        """Return the columns of accounts."""
        return _ACCOUNT_COLUMNS


class PersonaImportListItemsOperator(ImportOperator):
    """Imports the items of a list, and returns the importer's id.

    Example: `PersonaImportListItemsOperator(task_id="import", kind="phone-number", list_id="lst_…",
    rows=[{"value": "+15550100"}])`

    :param kind: what the items are: `email-address` (columns `value`, `match_type`), `geolocation` (`latitude`,
        `longitude`, `radius_meters`), `government-id-number` (`id_number`, `id_class`), `ip-address` (`value`), `name`
        (`name_first`, `name_last`) or `phone-number` (`value`). Faces are images: use `PersonaOperator`.
    :param list_id: the list (`lst_…`).
    :param file: a CSV file with a header: a local path or an address in an object store, or
    :param rows: what it would hold, as mappings. Not kept by Airflow.
    :param max_bytes: bytes that the file may have at most.
    """

    also_templated: ClassVar[Sequence[str]] = ("list_id", *ImportOperator.also_templated)

    def __init__(self, *, kind: str, list_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kind not in _ITEMS:
            raise BadCallError(f"Persona imports no items of the kind {kind!r}, but {', '.join(_ITEMS)}")
        self.kind = kind
        self.list_id = list_id

    def called(self) -> str:
        """Return the operation of the list's kind."""
        return _ITEMS[self.kind][0]

    def columns(self) -> Sequence[str]:
        """Return the columns of the list's kind."""
        return _ITEMS[self.kind][1]

    def body_values(self) -> dict[str, Any]:
        """Return the file with its list."""
        body = super().body_values()
        put(body, "data.attributes.list-id", self.list_id)
        return body

    def known_body(self) -> Mapping[str, Any]:
        """Return the list, without the file."""
        return {"data": {"attributes": {"file": NotYetKnown(), "list-id": self.list_id}}}
