"""Objects of Persona as rows: which attribute stands in which column."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from airflow_provider_persona.bulk.errors import MissingColumnError
from airflow_provider_persona.transfers.sql_tables import checked_column

ID, TYPE = "id", "type"
_HALF: Final = re.compile("[\ud800-\udfff]")
_WHOLE: Final = ("attributes", "relationships")
_RELATED: Final = "relationships."


class Columns:
    """The columns of a row: `id`, `type`, and those of a mapping, or else `attributes` and `relationships` as JSON.

    :param mapping: from columns to attributes, dotted, in Persona's spelling: `{"status": "status", "score":
        "fields.risk_score"}`; `relationships.accounts` gives the ids of what is related, separated by commas.
    :raises StoreError: when a column has no plain name.
    :raises MissingColumnError: when the mapping is none, or names `id` or `type`, which are there anyway.
    """

    def __init__(self, mapping: Mapping[str, str] | None = None) -> None:
        if mapping is not None and (not isinstance(mapping, Mapping) or not mapping):
            raise MissingColumnError('columns is a mapping, like {"status": "status", "score": "fields.risk_score"}')
        self._paths = {checked_column(name): str(path) for name, path in (mapping or {}).items()}
        if taken := {name.lower() for name in self._paths} & {ID, TYPE}:
            raise MissingColumnError(f"the column {min(taken)} is there in any case; leave it out of columns")
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
        """Columns whose attribute no object had so far, in order."""
        return [name for name in self._paths if name not in self._seen]

    def values(self, item: Mapping[str, Any]) -> list[Any]:
        """Return what an object has in each column: text, numbers, truths or None; anything deeper as JSON text."""
        return [_flat(value) for value in self._native(item)]

    def record(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return an object as a JSON record: as it came where no mapping was given, else its columns."""
        return dict(zip(self.names, self._native(item), strict=True)) if self._paths else item

    def _native(self, item: Mapping[str, Any]) -> list[Any]:
        if not self._paths:
            return [item.get(name) for name in self.names]
        return [item.get(ID), item.get(TYPE), *(self._find(item, name, path) for name, path in self._paths.items())]

    def _find(self, item: Mapping[str, Any], name: str, path: str) -> Any:
        if path.startswith(_RELATED):
            found = _below(item.get("relationships"), (path.removeprefix(_RELATED), "data"))
        else:
            # A custom field may have a dot in its name.
            keys = tuple(path.split(".", 1) if path.startswith("fields.") else path.split("."))
            found = _below(item.get("attributes"), keys)
            if found is _NOWHERE and keys[0] == "fields":
                found = _below(item.get("attributes"), tuple(path.split(".")))
        if found is _NOWHERE:
            return None
        self._seen.add(name)
        return _ids(found) if path.startswith(_RELATED) else found


def _asked_for(path: str) -> list[str]:
    """Return the names of sparse fields that bring what a path leads to; a custom field may have a dot in its name."""
    first, *rest = path.split(".")
    return list(dict.fromkeys([f"{first}.{rest[0]}", path])) if first == "fields" and rest else [first]


_NOWHERE: Final = object()


def _below(value: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return _NOWHERE
        value = value[key]
    return value


def _ids(data: Any) -> str | None:
    pointers = data if isinstance(data, list) else [data]
    return ",".join(str(each["id"]) for each in pointers if isinstance(each, Mapping) and "id" in each) or None


def _flat(value: Any) -> Any:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return whole_text(value.replace("\0", "\ufffd")) if isinstance(value, str) else value  # NUL: not in PostgreSQL


def whole_text(text: str) -> str:
    """Return a text that can be written: JSON may hold one half of a character, which no encoding has a place for."""
    return text if text.isascii() else _HALF.sub("\ufffd", text)
