"""What a task returns of Persona's answer, and what it must not return.

An answer holds a person's data, and sometimes a secret. So only what `result` names goes to XCom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from airflow_provider_persona.api.answers import AnswerKind
from airflow_provider_persona.api.document import Resource
from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.operations import BadCallError, Operation

Result: TypeAlias = "str | Sequence[str] | Callable[[Any], Any]"
"""`id`, `ids`, `attributes`, `none`, `body`, a list of names, or a function."""

RESULTS: Final = ("id", "ids", "attributes", "none", "body")
_OF_THE_RESOURCE: Final = frozenset({"id", "type", "attributes", "relationships"})
_OF_THE_BODY: Final = frozenset({"data", "meta", "included"})


def check_result(result: Any, operation_id: str) -> None:
    """Refuse a `result` that means nothing.

    :raises BadCallError: listing what it may be.
    """
    if callable(result) or (isinstance(result, str) and result in RESULTS):
        return
    is_list = isinstance(result, Sequence) and not isinstance(result, str)
    if is_list and result and all(isinstance(name, str) and name for name in result):
        return
    raise BadCallError(
        f"the result of {operation_id} is one of {', '.join(RESULTS)}, a list of names like ['status'], or a function"
    )


def result_of_one(body: Mapping[str, Any], entry: Operation, result: Result) -> Any:
    """Return what `result` names of an answer with one object, or with none.

    :param body: the answer, without the secrets that `result` does not name.
    :raises PersonaAnswerError: when the answer must hold an object and holds none.
    """
    if result == "none":
        return None
    if result == "body":
        return dict(body)
    resource = _resource(body, entry)
    if callable(result):
        return result(resource)
    return _reduced(resource, result, body, is_plain=entry.answer is AnswerKind.PLAIN)


def result_of_many(resources: Iterable[Mapping[str, Any]], result: Result) -> Any:
    """Return what `result` names of each object of a list. A function gets the whole list."""
    if callable(result):
        return result(list(resources))
    reduced = [_reduced(resource, result, {}) for resource in resources]
    return None if result == "none" else reduced


def _resource(body: Mapping[str, Any], entry: Operation) -> Mapping[str, Any]:
    if entry.answer is AnswerKind.PLAIN:
        return body
    resource = body.get("data")
    if not isinstance(resource, Mapping):
        raise PersonaAnswerError(f"the answer to {entry.operation_id} holds no object", operation_id=entry.operation_id)
    return resource


def _reduced(resource: Mapping[str, Any], result: Result, body: Mapping[str, Any], *, is_plain: bool = False) -> Any:
    if result in ("id", "ids"):
        return Resource(resource).id
    if result == "attributes":
        return resource.get("attributes")
    if isinstance(result, str):
        return None if result == "none" else resource
    assert not callable(result)
    return {name: _looked_up(_holder(resource, body, name, is_plain=is_plain), name) for name in result}


def _holder(resource: Mapping[str, Any], body: Mapping[str, Any], name: str, *, is_plain: bool) -> Any:
    """Return what a name is looked up in: the object, its attributes, or the whole answer."""
    first = name.partition(".")[0]
    if is_plain or first in _OF_THE_BODY:
        return body
    return resource if first in _OF_THE_RESOURCE else resource.get("attributes")


def _looked_up(holder: Any, name: str) -> Any:
    """Return the value at a dotted name. None when there is none, because Persona leaves out what a key may not see."""
    found = holder
    for key in name.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def take_secrets(body: Mapping[str, Any], entry: Operation, result: Result = "none") -> dict[str, Any]:
    """Take the secrets out of an answer, except those that `result` names, and return all of them by their last name.

    :param body: the parsed answer; this changes it.
    :param entry: the operation; its `secrets` are places like `data.attributes.value`.
    :param result: what the task returns.
    """
    taken: dict[str, Any] = {}
    for place in entry.secrets:
        *above, last = place.split(".")
        for holder in _holders(body, above):
            if holder.get(last) is None:
                continue
            taken[last] = holder[last]
            # In place: the response keeps its parsed body, and whoever reads that later must not find the secret.
            if not names_secret(result, place):
                del holder[last]
    return taken


def names_secret(result: Any, place: str) -> bool:
    """Return whether `result` asks for the secret at `place` by name."""
    if callable(result) or isinstance(result, str):
        return False
    return place in result or place.removeprefix("data.") in result or place.removeprefix("data.attributes.") in result


def secret_texts(secrets: Mapping[str, Any]) -> list[str]:
    """Return the texts of secrets, for masking. A webhook has several, each with its time of expiry."""
    texts = []
    for secret in secrets.values():
        for each in secret if isinstance(secret, list) else [secret]:
            text = each.get("value") if isinstance(each, Mapping) else each
            texts += [text] if isinstance(text, str) and text else []
    return texts


def _holders(body: Any, above: Sequence[str]) -> list[dict[str, Any]]:
    """Return the mappings that hold a secret: one, or one for each object of a list."""
    found = [body]
    for key in above:
        inner = [each.get(key) for each in found if isinstance(each, Mapping)]
        found = [item for each in inner for item in (each if isinstance(each, list) else [each])]
    return [each for each in found if isinstance(each, dict)]
