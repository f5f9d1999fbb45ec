"""Lists, their items, and the importers that bring items or accounts in from a CSV file."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Mapping
from typing import Any, Final

from persona_simulator.call import Call
from persona_simulator.clock import timestamp
from persona_simulator.problems import RefusedError, bad_request
from persona_simulator.resources.acts import ATTRIBUTES, creating, existing, moving, needed, stored
from persona_simulator.resources.answers import object_payload
from persona_simulator.resources.holdings import Change, Holdings, Outcomes, touch
from persona_simulator.resources.listing import Act
from persona_simulator.resources.seeds import typed_value
from persona_simulator.resources.things import Thing

ITEM_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "browser-fingerprint": ("value",),
    "country": ("country-code",),
    "device-fingerprint": ("value",),
    "email-address": ("value",),
    "face": ("face-photo",),
    "field": ("field-value",),
    "geolocation": ("latitude", "longitude", "radius-meters"),
    "government-id-number": ("id-number",),
    "ip-address": ("value",),
    "name": (),
    "phone-number": ("value",),
    "string": ("value",),
}
_OPTIONAL: Final = ("match-type", "id-class", "name-first", "name-last")
_MATCH_TYPES: Final = ("email_address", "domain")
Row = Mapping[str, str]

archive_list = moving("list", "archived", frozenset({"active"}), "archived", "archived-at")


def creating_list(kind: str) -> Act:
    """Return what serves the making of a list."""

    def attributes(_holdings: Holdings, call: Call) -> Mapping[str, Any]:
        extra = (
            {"allow-fuzzy-name-first": bool(call.find(*ATTRIBUTES, "allow-fuzzy-name-first"))} if kind == "name" else {}
        )
        return {**needed(call, "name"), **extra}

    return creating(f"list/{kind}", attributes, event=None)


def creating_item(kind: str) -> Act:
    """Return what serves the putting of an item on a list of its kind."""

    def act(holdings: Holdings, call: Call) -> Outcomes:
        shelf_list = _list_of(holdings, call)
        values = needed(call, *ITEM_KEYS[kind])
        values.update({name: value for name in _OPTIONAL if (value := call.find(*ATTRIBUTES, name)) is not None})
        if kind == "email-address" and values.setdefault("match-type", "email_address") not in _MATCH_TYPES:
            raise bad_request(f"match_type must be one of: {', '.join(_MATCH_TYPES)}")
        if kind == "name" and not values:
            raise bad_request("data.attributes.name_last is missing")
        if kind == "geolocation":
            values["radius-meters"] = int(float(values["radius-meters"]))
        if kind == "face":
            stored(holdings, values.pop("face-photo"), "/data/attributes/face-photo")
        item = _put_item(holdings, shelf_list, kind, values, call.now)
        return Outcomes(object_payload(holdings, item, call), changes=[Change(item, None, ("created",))])

    return act


def archiving_item(kind: str) -> Act:
    """Return what serves the archiving of an item; a second time it does nothing."""

    def act(holdings: Holdings, call: Call) -> Outcomes:
        item = holdings.find("list-item", call.subject, f"list-item/{kind}")
        before = item.status
        parts = item.set({"status": "archived", "archived-at": timestamp(call.now)}) if before != "archived" else ()
        touch(item, parts, call.now)
        return Outcomes(object_payload(holdings, item, call), changes=[Change(item, before, parts)])

    return act


def importing_items(kind: str) -> Act:
    """Return what serves the import of items of a kind: the rows are read at the end of the importer's work."""

    def attributes(holdings: Holdings, call: Call) -> Mapping[str, Any]:
        _list_of(holdings, call, declares_404=False)
        _file(holdings, call, kind)
        return {}

    def after(holdings: Holdings, importer: Thing, call: Call) -> None:
        target = _list_of(holdings, call)

        def take(row: Row) -> bool | None:
            values = _row_values(kind, row)
            if values is None:
                return None
            items: list[dict[str, str]] = target.hidden.setdefault("values", [])
            if values in items:
                return False
            items.append(values)
            _put_item(holdings, target, kind, values, holdings.now())
            return True

        _import(holdings, importer, call, _rows(holdings, call, kind), take)

    return creating(f"importer/list-item/{kind}", attributes, event=None, after=after)


def _import_accounts(holdings: Holdings, importer: Thing, call: Call) -> None:
    def take(row: Row) -> bool | None:
        if not row.get("reference_id"):
            return None
        known = holdings.shelf("account").order
        if any(account.attributes.get("reference-id") == row["reference_id"] for account in known):
            return False
        names = ("name_first", "name_middle", "name_last", "birthdate")
        fields = {name.replace("_", "-"): typed_value(row[name]) for name in names if row.get(name)}
        tags = [tag.strip() for tag in (row.get("tags") or "").split(",") if tag.strip()]
        attributes = {"reference-id": row["reference_id"], "fields": fields, "tags": tags}
        account = holdings.make("account", holdings.now(), attributes)
        holdings.record(Change(account, None, ("created",), "created"), holdings.now(), "work")
        return True

    _import(holdings, importer, call, _rows(holdings, call, "account"), take)


def _checked_file(holdings: Holdings, call: Call) -> Mapping[str, Any]:
    _file(holdings, call, "account")
    return {}


import_accounts = creating("importer/account", _checked_file, event=None, after=_import_accounts)


def _import(
    holdings: Holdings, importer: Thing, call: Call, rows: list[Row] | None, take: Callable[[Row], bool | None]
) -> None:
    """Begin an import; `take` says of a row whether it is new, True or False, or wrong, None."""

    def outcome(ended: float) -> Mapping[str, Any]:
        if rows is None:
            return {"status": "errored", "completed-at": timestamp(ended)}
        taken = [take(row) for row in rows]
        return {
            "status": "ready",
            "completed-at": timestamp(ended),
            "successful-count": taken.count(True),
            "duplicate-count": taken.count(False),
            "error-count": taken.count(None),
        }

    holdings.begin_work(importer, call.now, outcome, None)


def _file(holdings: Holdings, call: Call, kind: str) -> list[bytes]:
    """Return the contents of the files of an import.

    :raises RefusedError: 400 or 422 when there is none.
    """
    name = "image-files" if kind == "face" else "file"
    found = call.need(object, *ATTRIBUTES, name)
    files = [
        stored(holdings, each, f"/data/attributes/{name}") for each in (found if isinstance(found, list) else [found])
    ]
    return [b"".join(file.blocks()) for file in files]


def _rows(holdings: Holdings, call: Call, kind: str) -> list[Row] | None:
    """Return the rows of the file, None when it is no CSV file with the right columns."""
    files = _file(holdings, call, kind)
    if kind == "face":
        return [{"image": hashlib.sha256(content).hexdigest()} for content in files]
    try:
        text = files[0].decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    reader = csv.DictReader(io.StringIO(text))
    wanted = {"account": "reference_id"}.get(kind) or _columns(kind)[0]
    if wanted not in (reader.fieldnames or ()):
        return None
    return [{name: value or "" for name, value in row.items() if isinstance(name, str)} for row in reader]


def _columns(kind: str) -> tuple[str, ...]:
    if kind == "name":
        return ("name_first", "name_last")
    return tuple(key.replace("-", "_") for key in ITEM_KEYS[kind])


def _row_values(kind: str, row: Row) -> dict[str, Any] | None:
    """Return an item's values from a row, None when one is missing or wrong."""
    if kind == "face":
        return dict(row)
    values: dict[str, Any] = {name.replace("_", "-"): row.get(name, "").strip() for name in _columns(kind)}
    if not all(values.values()):
        return None
    if kind == "email-address":
        values["match-type"] = row.get("match_type", "").strip() or "email_address"
        return values if values["match-type"] in _MATCH_TYPES else None
    if kind == "government-id-number":
        values["id-class"] = row.get("id_class", "").strip()
    if kind == "geolocation":
        try:
            values = {name: float(value) for name, value in values.items()}
        except ValueError:
            return None
        values["radius-meters"] = int(values["radius-meters"])
    return values


def _put_item(holdings: Holdings, target: Thing, kind: str, values: Mapping[str, Any], now: float) -> Thing:
    shown = {} if kind == "face" else values
    item = holdings.make(f"list-item/{kind}", now, shown)
    target.relationships["list-items"].append(item.reference)
    return item


def _list_of(holdings: Holdings, call: Call, *, declares_404: bool = True) -> Thing:
    call.need(str, *ATTRIBUTES, "list-id")
    found = existing(holdings, "list", call, *ATTRIBUTES, "list-id", declares_404=declares_404)
    if found is None or found.status == "archived":
        raise RefusedError(409, "Conflict", "List is archived")
    return found
