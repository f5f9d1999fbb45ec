"""Kinds of the values in request bodies, by their names, as the published specification gives them.

One check for all operations, before anything is made: a value of another kind is refused as a whole request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from persona_simulator.problems import bad_request
from persona_simulator.theme_styles import check_styles

_TEXTS: Final = frozenset(
    [
        "account-status",
        "account-type-id",
        "api-key-inflection",
        "api-version",
        "auto-create-account-reference-id",
        "auto-create-account-type-id",
        "case-template-id",
        "comment",
        "connection-id",
        "country-code",
        "destination-id",
        "destination-organization-id",
        "dismiss-type",
        "entity-id",
        "field-value",
        "graph-query-template-id",
        "id-class",
        "inquiry-id",
        "label",
        "list-id",
        "match-type",
        "model-version",
        "name",
        "processing-mode",
        "reason",
        "relation-schema-key",
        "report-template-id",
        "source-id",
        "target-object-id",
        "transaction-type-id",
        "type",
        "url",
        "user-email-address",
    ]
)
_TEXTS_OR_NULL: Final = frozenset(
    [
        "account-id",
        "case-queue-id",
        "creator-email-address",
        "description",
        "initial-step-name",
        "inquiry-template-id",
        "inquiry-template-version-id",
        "note",
        "redirect-uri",
        "reference-id",
        "template-id",
        "theme-id",
        "theme-set-id",
        "upsert-by",
    ]
)
_OBJECTS: Final = frozenset(
    [
        "custom-http-headers",
        "included-allowlist",
        "parameter-map",
        "payload-filter",
        "relationship-allowlist",
        "styles",
        "variable-map",
    ]
)
_ARRAYS: Final = frozenset(
    [
        "api-attributes-blocklist",
        "enabled-events",
        "field-mappings",
        "inquiry-ids",
        "ip-address-allowlist",
        "permissions",
        "request-flags",
        "simulate-actions",
        "source-account-ids",
        "translations",
    ]
)
_ARRAYS_OR_NULL: Final = frozenset(["tags"])
_FLAGS: Final = frozenset(
    ["auto-create-account", "auto-create-inquiry-session", "auto-create-one-time-link", "run-sync"]
)
_SECONDS: Final = frozenset(["expires-in-seconds", "file-access-token-expires-in", "timeout-in-seconds"])
_SECONDS_OR_NULL: Final = frozenset(
    [
        "expiration-after-create-interval-seconds",
        "expiration-after-resume-interval-seconds",
        "expiration-after-start-interval-seconds",
        "one-time-link-expiration-seconds",
    ]
)

_KINDS: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = (
    dict.fromkeys(_TEXTS, (str, "a string"))
    | dict.fromkeys(_TEXTS_OR_NULL, ((str, type(None)), "a string or null"))
    | dict.fromkeys(_OBJECTS, (dict, "an object"))
    | dict.fromkeys(_ARRAYS, (list, "an array"))
    | dict.fromkeys(_ARRAYS_OR_NULL, ((list, type(None)), "an array or null"))
    | dict.fromkeys(_FLAGS, (bool, "a boolean"))
    | dict.fromkeys(_SECONDS, (int, "an integer"))
    | dict.fromkeys(_SECONDS_OR_NULL, ((int, type(None)), "an integer or null"))
)


def check_kinds(body: Mapping[str, Any]) -> None:
    """Make sure that the values of a body are of the kinds that their names say.

    :raises RefusedError: 400 naming the first one that is not.
    """
    for place, name, value in _values(body):
        kinds, said = _KINDS.get(name, (object, ""))
        if not isinstance(value, kinds) or (said.startswith("an integer") and isinstance(value, bool)):
            raise bad_request(f"{place}.{name} must be {said}".replace("-", "_"))
        if name == "styles":
            check_styles(value, place + ".styles")
        if name in ("tags", "tag-name"):
            _check_tags(f"{place}.{name}".replace("-", "_"), value)


def _values(body: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    data = body.get("data")
    for place, part in (
        ("data.attributes", data.get("attributes") if isinstance(data, Mapping) else None),
        ("meta", body.get("meta")),
    ):
        if isinstance(part, Mapping):
            for name, value in part.items():
                yield place, name, value
                for item in value if isinstance(value, list) else ():
                    if isinstance(item, Mapping) and "type" in item:
                        yield f"{place}.{name}", "type", item["type"]


def _check_tags(place: str, value: Any) -> None:
    names = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(name, str) for name in names):
        raise bad_request(f"{place} must be a string, or an array of strings")
    if not all(name.strip() for name in names):
        raise bad_request(f"{place} must not be blank")
