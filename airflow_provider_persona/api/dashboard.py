"""Addresses of objects in Persona's dashboard, for people who look at a run.

Persona documents where its dashboard is, and not how the pages of objects are addressed. The paths here are inferred:
`/dashboard/inquiries/inq_…` is what people share, and the other kinds are taken to follow that example.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

DASHBOARD: Final = "https://app.withpersona.com/dashboard"
"""Where Persona's dashboard is for everybody."""

_KINDS: Final = {
    "case": ("cases", "case"),
    "inquiry": ("inquiries", "inq"),
    "account": ("accounts", "act"),
    "report": ("reports", "rep"),
    "transaction": ("transactions", "txn"),
    "verification": ("verifications", "ver"),
}
"""By kind of object: part of the address, and how its ids begin."""

_ID: Final = re.compile(r"([a-z]+)_[A-Za-z0-9_]+", re.ASCII)


def dashboard_address(kind: str, object_id: str | None, dashboard: str = DASHBOARD) -> str | None:
    """Return the address of an object in Persona's dashboard, or None for a kind that has no page there.

    :param kind: kind of object, like `case`.
    :param object_id: its id; it may come from a query and hold anything, so it is quoted.
    :param dashboard: where the dashboard is.
    """
    if kind not in _KINDS or not object_id:
        return None
    return f"{dashboard}/{_KINDS[kind][0]}/{quote(object_id, safe='')}"


def address_of_id(object_id: object, dashboard: str = DASHBOARD) -> str | None:
    """Return the address of the object that an id means by how it begins, or None when that tells no kind.

    :param object_id: whatever is there in place of an id. What is no id of Persona's, like a reference id, which may be
        personal data, has no address.
    :param dashboard: where the dashboard is.
    """
    if not isinstance(object_id, str) or (found := _ID.fullmatch(object_id)) is None:
        return None
    kind = next((kind for kind, (_, beginning) in _KINDS.items() if beginning == found[1]), "")
    return dashboard_address(kind, object_id, dashboard)
