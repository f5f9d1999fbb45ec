"""Operators on lists and their items, of every kind that Persona has.

Persona has an operation for each kind; here it is one operator with a `kind`. Every operator takes the parameters of
`PersonaCallOperator` too: `result` and `persona_conn_id`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.operators.call_checks import NotYetKnown, known
from airflow_provider_persona.operators.named import NamedOperator, put
from airflow_provider_persona.operators.private_templates import revealed
from airflow_provider_persona.operators.rendered import read_back


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


_CALLS: Final[Mapping[ListKind, _Calls]] = {
    ListKind.BROWSER_FINGERPRINT: _Calls(
        "create-a-browser-fingerprint-list",
        "create-a-browser-fingerprint-list-item",
        "archive-a-browser-fingerprint-list-item",
    ),
    ListKind.COUNTRY: _Calls(
        "create-a-country-list", "create-a-country-list-item", "archive-a-country-list-item", "country-code"
    ),
    ListKind.DEVICE_FINGERPRINT: _Calls(
        None, "create-a-device-fingerprint-list-item", "archive-a-device-fingerprint-list-item"
    ),
    ListKind.EMAIL_ADDRESS: _Calls(
        "create-an-email-address-list", "create-an-email-address-list-item", "archive-an-email-address-list-item"
    ),
    ListKind.FACE: _Calls("create-a-face-list", "create-a-face-list-item", "archive-a-face-list-item", None),
    ListKind.FIELD: _Calls(None, "create-a-field-list-item", "archive-a-field-list-item", "field-value"),
    ListKind.GEOLOCATION: _Calls(
        "create-a-geolocation-list", "create-a-geolocation-list-item", "archive-a-geolocation-list-item", None
    ),
    ListKind.GOVERNMENT_ID_NUMBER: _Calls(
        "create-a-government-id-number-list",
        "create-a-government-id-number-list-item",
        "archive-a-government-id-number-list-item",
        "id-number",
    ),
    ListKind.IP_ADDRESS: _Calls(
        "create-an-ip-address-list", "create-an-ip-address-list-item", "archive-an-ip-address-list-item"
    ),
    ListKind.NAME: _Calls("create-a-name-list", "create-a-name-list-item", "archive-a-name-list-item", None),
    ListKind.PHONE_NUMBER: _Calls(
        "create-a-phone-number-list", "create-a-phone-number-list-item", "archive-a-phone-number-list-item"
    ),
    ListKind.STRING: _Calls("create-a-strings-list", "create-a-string-list-item", "archive-a-string-list-item"),
}


def _kind(given: str) -> ListKind:
    try:
        return ListKind(given)
    except ValueError:
        raise BadCallError(f"a list has no kind {given!r}; it is one of {', '.join(ListKind)}") from None


class PersonaCreateListOperator(NamedOperator):
    """Creates a list, and returns its id.

    Example: `PersonaCreateListOperator(task_id="list", kind="email-address", name="Known fraudsters")`

    :param kind: what its items are, see `ListKind`. Lists of device fingerprints and of fields are made in Persona's
        dashboard only, and lists of faces need an account that has them.
    :param name: its name.
    :param allow_fuzzy_name_first: whether first names need to match nearly only; for lists of names.
    """

    flags = ("allow_fuzzy_name_first",)
    in_body: ClassVar = {
        "data.attributes.name": "name",
        "data.attributes.allow-fuzzy-name-first": "allow_fuzzy_name_first",
    }

    def __init__(self, *, kind: str, name: str, allow_fuzzy_name_first: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if _CALLS[_kind(kind)].create is None:
            raise BadCallError(f"lists of the kind {kind} are made in Persona's dashboard only")
        self.kind = kind
        self.name = name
        self.allow_fuzzy_name_first = allow_fuzzy_name_first

    def called(self) -> str:
        """Return the operation of the list's kind."""
        return str(_CALLS[_kind(self.kind)].create)


class PersonaAddListItemOperator(NamedOperator):
    """Puts an item on a list, and returns the item's id. Keep it: Persona has no call that lists the items.

    Example: `PersonaAddListItemOperator(task_id="block", kind="email-address", list_id="lst_…",
    item={"value": "fraud.example", "match-type": "domain"})`

    :param kind: what the list's items are, see `ListKind`.
    :param list_id: the list (`lst_…`).
    :param item: the item: a text (an address, a number, a country's code), or its attributes by Persona's names, as
        names (`name-first`, `name-last`), places (`latitude`, `longitude`, `radius-meters`) and faces (`face-photo`)
        need it. A text that is a JSON object is read as attributes. Not kept by Airflow.
    """

    private = ("item",)
    also_templated = ("list_id", "item")

    def __init__(self, *, kind: str, list_id: str, item: str | Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _kind(kind)
        self.kind = kind
        self.list_id = list_id
        self.item = item

    def called(self) -> str:
        """Return the operation of the list's kind."""
        return _CALLS[_kind(self.kind)].add

    def body_values(self) -> dict[str, Any]:
        """Return the item with its list.

        :raises BadCallError: when a text is given where an item has several attributes.
        """
        return self._with_list(revealed(self.item))

    def known_body(self) -> Mapping[str, Any]:
        """Return the item with its list, as far as the item is known.

        :raises BadCallError: when a text stands in the Dag where an item has several attributes.
        """
        item = known(self.item)
        return item if isinstance(item, NotYetKnown) else self._with_list(item)

    def _with_list(self, item: Any) -> dict[str, Any]:
        value = _CALLS[_kind(self.kind)].value
        if isinstance(item, str) and isinstance(attributes := read_back(item), Mapping):
            item = attributes
        if not isinstance(item, Mapping):
            if value is None:
                raise BadCallError(f"an item of the kind {self.kind} has several attributes; give it as a mapping")
            item = {value: item}
        body: dict[str, Any] = {}
        put(body, "data.attributes", {**item, "list-id": self.list_id})
        return body


class PersonaArchiveListOperator(NamedOperator):
    """Archives a list with its items.

    Example: `PersonaArchiveListOperator(task_id="archive", list_id="lst_…")`

    :param list_id: the list (`lst_…`), of any kind.
    """

    operation_id = "archive-a-list"
    in_path: ClassVar = {"list-id": "list_id"}

    def __init__(self, *, list_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.list_id = list_id


class PersonaArchiveListItemOperator(NamedOperator):
    """Takes an item off its list.

    Example: `PersonaArchiveListItemOperator(task_id="unblock", kind="email-address", list_item_id="liea_…")`

    :param kind: what the list's items are, see `ListKind`.
    :param list_item_id: the item.
    """

    in_path: ClassVar = {"list-item-id": "list_item_id"}

    def __init__(self, *, kind: str, list_item_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _kind(kind)
        self.kind = kind
        self.list_item_id = list_item_id

    def called(self) -> str:
        """Return the operation of the list's kind."""
        return _CALLS[_kind(self.kind)].archive
