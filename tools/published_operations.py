"""What the catalogue of operations takes from Persona's OpenAPI file: every fact that can be read there by rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

Entry: TypeAlias = dict[str, Any]
"""One operation, by the keys of `DEFAULTS`. `Operation` in `airflow_provider_persona.api` says what they mean."""

DEFAULTS: Final[Entry] = {
    "id": None,
    "resource": None,
    "method": None,
    "path": None,
    "prefix": None,
    "summary": None,
    "query": [],
    "required_query": [],
    "body": [],
    "required": [],
    "nullable": [],
    "headers": {},
    "success": [200],
    "answer": "object",
    "paged": False,
    "repeatable": False,
    "appends": [],
    "secrets": [],
    "multipart": False,
    "form": False,
    "since": None,
    "withdrawn": None,
    "restricted": None,
    "note": None,
}
"""Every key, in its order in a line, and its value when neither source says one."""
REPEATABLE_BY_METHOD: Final = ("GET", "DELETE")
"""A POST or PATCH may add something at each call, so only a note can say that it is safe to repeat."""
_METHODS: Final = ("get", "put", "post", "delete", "patch")
_FORM: Final = "application/x-www-form-urlencoded"


class SourceError(ValueError):
    """A source that cannot be used as it is."""


@dataclass(frozen=True)
class Specification:
    """What the catalogue takes from an OpenAPI document."""

    document: Mapping[str, Any]

    def operations(self) -> dict[str, Entry]:
        """Return the specification's operations by id, with the tag of each in place of its resource."""
        found: dict[str, Entry] = {}
        for path, item in self.document["paths"].items():
            for method in _METHODS:
                if method in item:
                    entry = self._operation(method.upper(), path, item, item[method])
                    if entry["id"] in found:
                        raise SourceError(f"the specification has two operations {entry['id']}")
                    found[entry["id"]] = entry
        return found

    def _operation(self, method: str, path: str, item: Mapping[str, Any], published: Mapping[str, Any]) -> Entry:
        given = [self._resolved(each) for each in [*item.get("parameters", []), *published.get("parameters", [])]]
        query = [each for each in given if each["in"] == "query"]
        contents = self._resolved(published.get("requestBody", {})).get("content", {})
        schemas = [(contents.get("application/json") or next(iter(contents.values())))["schema"]] if contents else []
        required = self._required_keys(schemas)
        return DEFAULTS | {
            "id": published["operationId"],
            "resource": published["tags"][0],
            "method": method,
            "path": path,
            "prefix": self._prefix(published.get("servers") or item.get("servers")),
            "summary": published["summary"].rstrip(".") + ".",
            "query": [name for each in query for name in self._query_names(each["name"], each["schema"])],
            "required_query": [name for each in query if each.get("required") for name in self._needed_names(each)],
            "body": self._keys(schemas),
            "required": [key for key, may_be_null in required.items() if not may_be_null],
            "nullable": [key for key, may_be_null in required.items() if may_be_null],
            "headers": self._own_headers(given, published.get("security", ())),
            **self._answer(published["responses"]),
            "repeatable": method in REPEATABLE_BY_METHOD,
            "multipart": "multipart/form-data" in contents,
            "form": _FORM in contents,
        }

    def _prefix(self, servers: Sequence[Mapping[str, Any]] | None) -> str | None:
        """Return the beginning of the path where an operation has servers of its own, None where it has the usual.

        :raises SourceError: when they are on another host. The API key goes to one host only.
        """
        if not servers:
            return None
        usual, own = (urlsplit(each[0]["url"]) for each in (self.document["servers"], servers))
        if own[:2] != usual[:2]:
            raise SourceError(f"the specification has operations on another host: {servers[0]['url']}")
        return None if own.path == usual.path else own.path

    def _own_headers(
        self, parameters: Iterable[Mapping[str, Any]], security: Iterable[Mapping[str, Any]]
    ) -> dict[str, str]:
        """Return the headers that an operation needs and others do not, each with the beginning of its value."""
        found = {each["name"]: "" for each in parameters if each["in"] == "header" and each.get("required")}
        for scheme in (self.document["components"]["securitySchemes"][name] for each in security for name in each):
            if scheme["type"] == "apiKey" and scheme["in"] == "header":
                found[scheme["name"]] = scheme.get("x-fern-header", {}).get("prefix", "")
        return found

    def _query_names(self, name: str, schema: Mapping[str, Any]) -> list[str]:
        resolved = self._resolved(schema)
        if members := resolved.get("properties"):
            return [below for key, value in members.items() for below in self._query_names(f"{name}[{key}]", value)]
        # `fields` takes a list of attributes for each type of object, under the name of the type.
        return [f"{name}[TYPE]" if resolved.get("type") == "object" else name]

    def _needed_names(self, parameter: Mapping[str, Any]) -> list[str]:
        name, schema = parameter["name"], self._resolved(parameter["schema"])
        return [f"{name}[{key}]" for key in schema.get("required", [])] if "properties" in schema else [name]

    def _answer(self, responses: Mapping[str, Any]) -> Entry:
        successes = {int(status): self._resolved(each) for status, each in responses.items() if status.startswith("2")}
        contents = next(iter(successes.values()), {}).get("content", {})
        if contents and "application/json" not in contents:
            return {"success": list(successes), "answer": "file", "paged": False}
        members = self._members([contents["application/json"]["schema"]]).members if contents else {}
        is_list = any(self._resolved(each).get("type") == "array" for each in members.get("data", []))
        answer = "plain" if "data" not in members else "collection" if is_list else "object"
        # Some lists come in pages though they declare no `page`; every answer in pages has `links`.
        return {"success": list(successes), "answer": answer, "paged": "links" in members}

    def _keys(self, schemas: Sequence[Mapping[str, Any]], above: str = "") -> list[str]:
        found = self._members(schemas)
        if found.is_open and above:
            return [f"{above}.*"]
        if not found.members or found.members.keys() == {"data", "filename"}:  # the latter is a file
            return [above] if above else []
        return [key for name, below in found.members.items() for key in self._keys(below, _below(above, name))]

    def _required_keys(self, schemas: Sequence[Mapping[str, Any]], above: str = "") -> dict[str, bool]:
        """Return the keys that must be there, and whether each may be null.

        A key counts when the mapping around it needs it, also when the specification marks that mapping optional:
        it marks nearly every `data` and `attributes` optional, and the call is refused without them.
        """
        found = self._members(schemas)
        required: dict[str, bool] = {}
        for name, below in ({} if found.is_open and above else found.members).items():
            key = _below(above, name)
            deeper = self._required_keys(below, key)
            if name in found.required and not deeper:
                deeper = {key: any("null" in self._resolved(each).get("type", ()) for each in below)}
            required |= deeper
        return required

    def _members(self, schemas: Iterable[Mapping[str, Any]]) -> _Members:
        merged = _Members()
        for schema in map(self._resolved, schemas):
            for name, value in schema.get("properties", {}).items():
                merged.members.setdefault(name, []).append(value)
            merged.required.update(schema.get("required", []))
            others = [self._members([each]) for each in schema.get("allOf", [])]
            choices = [self._members([each]) for key in ("oneOf", "anyOf") for each in schema.get(key, [])]
            for other in [*others, *choices]:
                for name, values in other.members.items():
                    merged.members.setdefault(name, []).extend(values)
            for other in others:
                merged.required.update(other.required)
            accepts_any = any(schema.get(key) for key in ("additionalProperties", "unevaluatedProperties"))
            merged.is_open |= accepts_any or any(other.is_open for other in [*others, *choices])
            merged.is_open |= any(choice.members for choice in choices)
        return merged

    def _resolved(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in value:
            found: Any = self.document
            for part in value["$ref"].removeprefix("#/").split("/"):
                found = found[part.replace("~1", "/").replace("~0", "~")]
            value = found
        return value


@dataclass
class _Members:
    """The members of a mapping, with the schemas of each."""

    members: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    is_open: bool = False
    """Whether it takes other keys too, or one of several shapes: its members are examples then, not the list."""


def _below(above: str, name: str) -> str:
    return f"{above}.{name}" if above else name
