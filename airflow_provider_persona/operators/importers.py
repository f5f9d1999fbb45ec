"""Operators that hand Persona a file of accounts or of list items to import.

They return the importer's id. Wait for it with a sensor, and look at its counts: `ready` may still mean that Persona
refused rows. Airflow's own retries within an hour import nothing twice, as long as the file stays as it is.
"""

from __future__ import annotations

import csv
import io
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.tasks.argument_rules import exactly_one
from airflow_provider_persona.tasks.arguments import Text, as_mappings
from airflow_provider_persona.tasks.call_arguments import attribute
from airflow_provider_persona.tasks.call_checks import Call, NotYetKnown
from airflow_provider_persona.tasks.call_operator import PersonaCallOperator
from airflow_provider_persona.tasks.declared_arguments import argument
from airflow_provider_persona.version_compat import AirflowNotFoundException

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
_FILE_DOC: Final = "a CSV file with a header: a local path or an address in an object store, or"
_LIMIT_DOC: Final = "bytes that the file may have at most."


def upload(file: str | None, rows: Any, columns: Sequence[str], max_bytes: int) -> Mapping[str, str]:
    """Return what Persona wants of a file: its name, and its content in base64.

    :param file: address of a CSV file, or None.
    :param rows: what it would hold, where `file` is None.
    :param columns: the columns that Persona knows.
    :param max_bytes: bytes that the content may have at most.
    :raises BadCallError: when there is nothing to import, too much, or a column that Persona does not know.
    """
    if file is not None:
        content, name = read_file(file, max_bytes), file.rstrip("/").rpartition("/")[2]
    else:
        content, name = _as_csv(rows, columns), "rows.csv"
    if len(content) > max_bytes:
        raise BadCallError(f"what is to be imported has more than {max_bytes} bytes; split it")
    return {"data": b64encode(content).decode(), "filename": name}


def read_file(address: str, limit: int) -> bytes:
    """Read a local file or one in an object store, but no more than `limit` bytes and one.

    :raises BadCallError: when it is not there, or is empty.
    :raises StoreError: when it cannot be read.
    """
    from airflow_provider_persona.storage.errors import StoreError
    from airflow_provider_persona.storage.paths import kind_of, open_regular
    from airflow_provider_persona.tasks.state_path import store_path

    try:
        # Persona wants the whole file in one body, so it is in memory anyway. A pipe in its place would never end.
        with open_regular(store_path(address)) as file:
            content = file.read(limit + 1)  # one byte more than it may have tells that it has too many
    except FileNotFoundError:
        raise BadCallError(f"there is no file {address}") from None
    except (StoreError, AirflowNotFoundException):  # about the store itself, or its connection
        raise
    except Exception as error:  # fsspec's stores raise what their libraries raise
        raise StoreError(
            f"the file {address} cannot be read ({kind_of(error)}); check its rights, the disk, and the connection of "
            "an object store, then retry",
            retryable=True,
        ) from error
    if not content:
        raise BadCallError(f"the file {address} is empty")
    return content


def _as_csv(rows: Sequence[Mapping[str, Any]] | None, columns: Sequence[str]) -> bytes:
    named = list(dict.fromkeys(name for row in rows or () for name in row))
    if not rows or not named:
        raise BadCallError("rows is a list of mappings, with at least one in it, and that not empty")
    unknown = [name for name in named if name not in columns]
    if unknown:
        raise BadCallError(f"Persona imports no column {', '.join(map(str, unknown))}; it knows {', '.join(columns)}")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, named, restval="")
    writer.writeheader()
    for number, row in enumerate(rows, start=1):
        writer.writerow({name: _cell_of(row, name, number) for name in row})
    return text.getvalue().encode()


def _cell_of(row: Mapping[str, Any], name: str, number: int) -> str:
    """Return a value as the text of a cell, the same in each try: other bytes would be another import.

    Python's own text of a value is none: under the reference id `nan` all rows without one would be one person.

    :raises BadCallError: when the value has no such text, naming row, column and type.
    """
    from airflow_provider_persona.bulk.source.rows import RowError
    from airflow_provider_persona.bulk.source.values import value_in

    try:
        value = value_in(row, name)
    except RowError as error:
        raise BadCallError(f"row {number}: {error}") from None
    if isinstance(value, list) and not any(isinstance(part, dict | list) or part is None for part in value):
        return ",".join(map(_cell, value))
    if isinstance(value, dict | list):
        raise BadCallError(f"row {number}: a cell holds a text, a number or a list of such (column {name})")
    return _cell(value)


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def as_imported_kind(value: Any, name: str) -> str:
    """Return the kind of a list that Persona imports items of.

    :raises BadCallError: when it imports none of this kind.
    """
    if not isinstance(value, str) or value not in _ITEMS:
        raise BadCallError(f"{name} is one of {', '.join(_ITEMS)}, not {value!r}; Persona imports no other items")
    return value


def _calls_with_the_file(operator: Any) -> Sequence[Call]:
    """Return the call with the file.

    :raises BadCallError: when there is nothing to import, too much, or a column that Persona does not know.
    """
    values = operator.values()
    columns = _ITEMS[values["kind"]][1] if "kind" in values else _ACCOUNT_COLUMNS
    content = upload(values["file"], values["rows"], columns, values["max_bytes"])
    calls: Sequence[Call] = operator.calls_of({**values, "file": content})
    return calls


class PersonaImportAccountsOperator(PersonaCallOperator):
    """Imports accounts, and returns the importer's id. The key needs the permission `account.write` too.

    Example: `PersonaImportAccountsOperator(task_id="import", file="s3://aws_default@bucket/accounts.csv")`
    """

    operation_id = "import-an-account"
    file: Text | None = argument(_FILE_DOC, default=None)
    rows: Sequence[Mapping[str, Any]] | Text | None = argument(
        "what it would hold, as mappings with any of `reference_id`, `name_first`, `name_middle`, `name_last`, "
        "`birthdate`, `social_security_number` and `tags`.",
        default=None,
        private=True,
        reader=as_mappings,
    )
    max_bytes: int = argument(_LIMIT_DOC, default=MAX_FILE_BYTES, is_template=False)
    rules = (exactly_one("file", "rows"),)

    calls = _calls_with_the_file

    def calls_of(self, values: Mapping[str, Any]) -> Sequence[Call]:
        """Return the call. When the Dag is parsed, the file is not yet known."""
        content = values["file"] if isinstance(values["file"], Mapping) else NotYetKnown()
        return [Call(self.operation_id, body={"data": {"attributes": {"file": content}}})]


class PersonaImportListItemsOperator(PersonaCallOperator):
    """Imports the items of a list, and returns the importer's id.

    Example: `PersonaImportListItemsOperator(task_id="import", kind="phone-number", list_id="lst_…",
    rows=[{"value": "+15550100"}])`
    """

    kind: str = argument(
        "what the items are: `email-address` (columns `value`, `match_type`), `geolocation` (`latitude`, `longitude`, "
        "`radius_meters`), `government-id-number` (`id_number`, `id_class`), `ip-address` (`value`), `name` "
        "(`name_first`, `name_last`) or `phone-number` (`value`). Faces are images: use `PersonaOperator`.",
        is_template=False,
        reader=as_imported_kind,
    )
    list_id: Text = attribute("the list (`lst_…`).")
    file: Text | None = argument(_FILE_DOC, default=None)
    rows: Sequence[Mapping[str, Any]] | Text | None = argument(
        "what it would hold, as mappings.", default=None, private=True, reader=as_mappings
    )
    max_bytes: int = argument(_LIMIT_DOC, default=MAX_FILE_BYTES, is_template=False)
    rules = (exactly_one("file", "rows"),)

    calls = _calls_with_the_file

    def calls_of(self, values: Mapping[str, Any]) -> Sequence[Call]:
        """Return the call for the list's kind. When the Dag is parsed, the file is not yet known."""
        content = values["file"] if isinstance(values["file"], Mapping) else NotYetKnown()
        attributes = {"file": content, "list-id": values["list_id"]}
        return [Call(_ITEMS[values["kind"]][0], body={"data": {"attributes": attributes}})]
