"""Operators on lists and their items, of every kind that Persona has.

Persona has an operation for each kind. Here it is one operator with a `kind`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.tasks.arguments import Flag, JsonObject, Text, read_back
from airflow_provider_persona.tasks.call_arguments import attribute, path
from airflow_provider_persona.tasks.call_checks import Call, NotYetKnown
from airflow_provider_persona.tasks.call_operator import PersonaCallOperator
from airflow_provider_persona.tasks.declared_arguments import argument


class ListKind(StrEnum):
    """What the items of a list are."""

    BROWSER_FINGERPRINT = "browser-fingerprint"
    COUNTRY = "country"
    DEVICE_FINGERPRINT = "device-fingerprint"
    EMAIL_ADDRESS = "email-address"
    FACE = "face"
    FIELD = "field"
    GEOLOCATION = "geolocation"
    GOVERNMENT_ID_NUMBER = "government-id-number"
    IP_ADDRESS = "ip-address"
    NAME = "name"
    PHONE_NUMBER = "phone-number"
    STRING = "string"


@dataclass(frozen=True, slots=True)
class _Calls:
    """The operations of one kind.

    :param create: makes a list; None where lists of this kind are made in the dashboard only.
    :param add: makes an item.
    :param archive: archives an item.
    :param value: the attribute that an item given as a text is; None where an item has several.
    """

    create: str | None
    add: str
    archive: str
    value: str | None = "value"


def _calls(kind: str, value: str | None = "value", *, makes_lists: bool = True, lists: str | None = None) -> _Calls:
    """Return the operations of a kind, which Persona names after it.

    :param kind: the kind, with its article.
    :param value: as for `_Calls`.
    :param makes_lists: whether an operation makes a list of this kind.
    :param lists: what the operation that makes a list calls the kind, where that is another word.
    """
    create = f"create-{lists or kind}-list" if makes_lists else None
    return _Calls(create, f"create-{kind}-list-item", f"archive-{kind}-list-item", value)


_CALLS: Final[Mapping[ListKind, _Calls]] = {
    ListKind.BROWSER_FINGERPRINT: _calls("a-browser-fingerprint"),
    ListKind.COUNTRY: _calls("a-country", "country-code"),
    ListKind.DEVICE_FINGERPRINT: _calls("a-device-fingerprint", makes_lists=False),
    ListKind.EMAIL_ADDRESS: _calls("an-email-address"),
    ListKind.FACE: _calls("a-face", None),
    ListKind.FIELD: _calls("a-field", "field-value", makes_lists=False),
    ListKind.GEOLOCATION: _calls("a-geolocation", None),
    ListKind.GOVERNMENT_ID_NUMBER: _calls("a-government-id-number", "id-number"),
    ListKind.IP_ADDRESS: _calls("an-ip-address"),
    ListKind.NAME: _calls("a-name", None),
    ListKind.PHONE_NUMBER: _calls("a-phone-number"),
    ListKind.STRING: _calls("a-string", lists="a-strings"),
}


def as_kind(value: Any, name: str) -> ListKind:
    """Return the kind of a list.

    :raises BadCallError: when there is no such kind.
    """
    try:
        return ListKind(value)
    except ValueError:
        raise BadCallError(f"{name} is one of {', '.join(ListKind)}, not {value!r}") from None


def _as_item(value: Any, name: str) -> Any:  # noqa: ARG001 - the face of a reader
    """Return an item as it is given, or the attributes that a text holds."""
    found = read_back(value) if isinstance(value, str) else value
    return found if isinstance(found, Mapping) else value


class PersonaCreateListOperator(PersonaCallOperator):
    """Creates a list, and returns its id.

    Example: `PersonaCreateListOperator(task_id="list", kind="email-address", name="Known fraudsters")`
    """

    kind: str = argument(
        "what its items are, see `ListKind`. Lists of device fingerprints and of fields are made in Persona's "
        "dashboard only, and lists of faces need an account that has them.",
        is_template=False,
        reader=as_kind,
    )
    name: Text = attribute("its name.")
    allow_fuzzy_name_first: Flag | None = attribute(
        "whether a first name that is nearly the same matches too; for lists of names.", default=None
    )

    def calls_of(self, values: Mapping[str, Any]) -> Sequence[Call]:
        """Return the call for the list's kind.

        :raises BadCallError: when Persona has no call that makes such a list.
        """
        create = _CALLS[values["kind"]].create
        if create is None:
            raise BadCallError(f"lists of the kind {values['kind']} are made in Persona's dashboard only")
        return [self.call_of(values, create)]


class PersonaAddListItemOperator(PersonaCallOperator):
    """Puts an item on a list, and returns the item's id. Keep it: Persona has no call that lists the items.

    Example: `PersonaAddListItemOperator(task_id="block", kind="email-address", list_id="lst_…",
    item={"value": "fraud.example", "match-type": "domain"})`
    """

    kind: str = argument("what the list's items are, see `ListKind`.", is_template=False, reader=as_kind)
    list_id: Text = attribute("the list (`lst_…`).")
    item: JsonObject = argument(
        "the item: a text (an address, a number, a country's code), or its attributes by Persona's names, as names "
        "(`name-first`, `name-last`), places (`latitude`, `longitude`, `radius-meters`) and faces (`face-photo`) need "
        "it. A text that is a JSON object is read as attributes.",
        private=True,
        reader=_as_item,
    )

    def calls_of(self, values: Mapping[str, Any]) -> Sequence[Call]:
        """Return the call for the list's kind.

        :raises BadCallError: when a text is given where an item has several attributes.
        """
        calls, item = _CALLS[values["kind"]], values["item"]
        if isinstance(item, NotYetKnown):
            return [Call(calls.add, body=item)]
        if not isinstance(item, Mapping):
            if calls.value is None:
                raise BadCallError(f"an item of the kind {values['kind']} has several attributes; give it as a mapping")
            item = {calls.value: item}
        return [Call(calls.add, body={"data": {"attributes": {**item, "list-id": values["list_id"]}}})]


class PersonaArchiveListOperator(PersonaCallOperator):
    """Archives a list with its items.

    Example: `PersonaArchiveListOperator(task_id="archive", list_id="lst_…")`
    """

    operation_id = "archive-a-list"
    list_id: Text = path("list-id", "the list (`lst_…`), of any kind.")


class PersonaArchiveListItemOperator(PersonaCallOperator):
    """Takes an item off its list.

    Example: `PersonaArchiveListItemOperator(task_id="unblock", kind="email-address", list_item_id="liea_…")`
    """

    kind: str = argument("what the list's items are, see `ListKind`.", is_template=False, reader=as_kind)
    list_item_id: Text = path("list-item-id", "the item.")

    def calls_of(self, values: Mapping[str, Any]) -> Sequence[Call]:
        """Return the call for the list's kind."""
        return [self.call_of(values, _CALLS[values["kind"]].archive)]
