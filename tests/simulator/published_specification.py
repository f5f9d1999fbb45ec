"""What Persona's published specification says of requests and answers. Tests that ask have the mark `contract`."""

from __future__ import annotations

import json
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import jsonschema
import referencing
from referencing.jsonschema import DRAFT202012

from tests.specification import document

_ADDRESS = "urn:published"


@cache
def _registry() -> referencing.Registry[Any]:
    resource = referencing.Resource(contents=document(), specification=DRAFT202012)
    return referencing.Registry().with_resource(_ADDRESS, resource)


def has(method: str, path: str) -> bool:
    """Whether the specification has an operation."""
    return method.lower() in document()["paths"].get(path, {})


def problems_of_request(method: str, path: str, content_type: str | None, content: bytes | None) -> list[str]:
    """Return what is wrong with a body, as it goes out, by the specification."""
    place = ["paths", path, method.lower(), "requestBody"]
    declared = _found(place)
    if declared is None:
        return [] if content is None else ["a body is not declared"]
    kind = content_type or next(iter(declared[0]["content"]))
    if kind not in declared[0]["content"]:
        return [f"{kind} is not declared"]
    is_form = kind == "application/x-www-form-urlencoded"
    body = dict(parse_qsl((content or b"").decode())) if is_form else json.loads(content or b"{}")
    return _problems([*declared[1], "content", kind, "schema"], body)


def problems_of_answer(method: str, path: str, status: int, content_type: str, content: bytes) -> list[str]:
    """Return what is wrong with an answer by the specification."""
    declared = _found(["paths", path, method.lower(), "responses", str(status)])
    if declared is None:
        return [f"{status} is not declared"]
    if content_type not in declared[0]["content"]:
        return [f"{content_type} is not declared"]
    if content_type != "application/json":
        return []
    return _problems([*declared[1], "content", content_type, "schema"], json.loads(content))


def problems_of_query(method: str, path: str, names: list[str]) -> list[str]:
    """Return the query parameters that the specification does not have, by their first part."""
    declared = [_resolved(each) for each in document()["paths"][path][method.lower()].get("parameters", [])]
    known = {each["name"].partition("[")[0] for each in declared if each["in"] == "query"}
    return [name for name in names if name.partition("[")[0] not in known]


def _found(place: list[str]) -> tuple[Any, list[str]] | None:
    value = document()
    for number, part in enumerate(place):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
        while isinstance(value, dict) and "$ref" in value:
            place = [*_parts(value["$ref"]), *place[number + 1 :]]
            return _found(place)
    return value, place


def _parts(reference: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in reference.removeprefix("#/").split("/")]


def _resolved(value: Any) -> Any:
    while isinstance(value, dict) and "$ref" in value:
        found = _found(_parts(value["$ref"]))
        value = found[0] if found else {}
    return value


def _problems(place: list[str], value: Any) -> list[str]:
    pointer = "/".join(part.replace("~", "~0").replace("/", "~1") for part in place)
    validator = _validator(f"{_ADDRESS}#/{pointer}")
    return [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in validator.iter_errors(value)
    ]


@cache
def _validator(reference: str) -> jsonschema.Draft202012Validator:
    checker = jsonschema.FormatChecker()
    return jsonschema.Draft202012Validator({"$ref": reference}, registry=_registry(), format_checker=checker)
