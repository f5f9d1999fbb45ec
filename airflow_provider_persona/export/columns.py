"""Objects of Persona as rows: which column holds which attribute."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from airflow_provider_persona.api.document import MISSING, Resource
from airflow_provider_persona.export.errors import ExportError
from airflow_provider_persona.storage.sql_tables import checked_column

ID, TYPE = "id", "type"
_WHOLE: Final = ("attributes", "relationships")
_RELATED: Final = "relationships."


class Columns:
    """The columns of a row: `id`, `type`, and those of a mapping, or else `attributes` and `relationships` as JSON.

    :param mapping: from columns to attributes, dotted, in Persona's spelling: `{"status": "status", "score":
        "fields.risk_score"}`; `relationships.accounts` gives the ids of what is related, separated by commas.
    :raises StoreError: when a column has no plain name.
    :raises ExportError: when the mapping is no mapping, is empty, names `id` or `type`, which are there anyway, or has
        two names that differ in capitals only.
    """

    def __init__(self, mapping: Mapping[str, str] | None = None) -> None:
        if mapping is not None and (not isinstance(mapping, Mapping) or not mapping):
            raise ExportError('columns is a mapping, like {"status": "status", "score": "fields.risk_score"}')
        self._paths = {checked_column(name): str(path) for name, path in (mapping or {}).items()}
        if taken := {name.lower() for name in self._paths} & {ID, TYPE}:
            raise ExportError(f"the column {min(taken)} is there in any case; leave it out of columns")
        if len({name.lower() for name in self._paths}) < len(self._paths):  # databases take them for one column
            raise ExportError("columns has two names that differ in capitals only")
        self._seen: set[str] = set()

    @property
    def names(self) -> list[str]:
        """The names of the columns, in order."""
        return [ID, TYPE, *(self._paths or _WHOLE)]

    @property
    def attributes(self) -> Sequence[str] | None:
        """The attributes to ask for, as sparse fields name them; None when all are wanted."""
        if not self._paths:
            return None
        wanted = [path for path in self._paths.values() if not path.startswith(_RELATED)]
        names = [name for path in wanted for name in _asked_for(path)]
        return list(dict.fromkeys(names)) or ["id"]

    @property
    def unseen(self) -> list[str]:
        """Columns for which no object had the attribute so far, in order."""
        return [name for name in self._paths if name not in self._seen]

    def values(self, item: Mapping[str, Any]) -> list[Any]:
        """Return the values of an object: text, numbers, truths or None; lists and objects as JSON text."""
        return [_flat(value) for value in self._native(item)]

    def record(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return an object as a JSON record: as it came when no mapping was given, else its columns."""
        return dict(zip(self.names, self._native(item), strict=True)) if self._paths else item

    def _native(self, item: Mapping[str, Any]) -> list[Any]:
        if not self._paths:
            return [item.get(name) for name in self.names]
        resource = Resource(item)
        found = (self._find(resource, name, path) for name, path in self._paths.items())
        return [item.get(ID), item.get(TYPE), *found]

    def _find(self, resource: Resource, name: str, path: str) -> Any:
        found: Any
        if path.startswith(_RELATED):
            pointers = resource.related(path.removeprefix(_RELATED))
            found = MISSING if pointers is None else ",".join(str(each.id) for each in pointers) or None
        else:
            found = resource.attribute(path, MISSING)
        if found is MISSING:
            return None
        self._seen.add(name)
        return found


def _asked_for(path: str) -> list[str]:
    """Return the sparse fields that bring the attribute at a path; a custom field may have a dot in its name."""
    first, *rest = path.split(".")
    return list(dict.fromkeys([f"{first}.{rest[0]}", path])) if first == "fields" and rest else [first]


def _flat(value: Any) -> Any:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value  # PostgreSQL takes no NUL
