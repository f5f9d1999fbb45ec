"""Statuses that exist nowhere: a guard on a misspelt status guards nothing, and an expected one skips every row.

Persona lists neither statuses nor case templates. So a status is known when a live object has it, or when the template
of a recent object names it among its resolutions (`GET /case-templates/{id}`, since 2026-05).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from airflow_provider_persona.api.document import Document, Resource
from airflow_provider_persona.api.errors import PersonaError
from airflow_provider_persona.api.operations import is_path_id, operation
from airflow_provider_persona.bulk.errors import STOPS_THE_RUN
from airflow_provider_persona.bulk.subjects.subject import ObjectSubject, StatusLabels
from airflow_provider_persona.client import AsyncPersonaClient

log = logging.getLogger(__name__)

_MOST_LABELS = 20
_MOST_TEMPLATES = 10


class UnknownStatuses(StrEnum):
    """What to do about a status that exists nowhere."""

    WARN = "warn"
    """Say so in log and plan."""
    FAIL = "fail"
    """Stop before the first write."""
    IGNORE = "ignore"
    """Do not look."""


async def unknown_labels(
    labels: Iterable[str], seen: Iterable[str], subject: ObjectSubject, client: AsyncPersonaClient
) -> list[str]:
    """Return the statuses that no live object and no template has, sorted; at most 31 requests.

    :param labels: the statuses of guards and rows, each once; the first 20 that were not seen are looked up.
    :param seen: statuses that live objects were seen to have.
    :raises PersonaError: one that stops the run. After any other nothing is called unknown.
    """
    facts = subject.status_labels
    if facts is None:
        return []
    known = facts.known.union(seen)
    missing = sorted([label for label in labels if label not in known][:_MOST_LABELS])
    if not missing:
        return []
    try:
        left = [label for label in missing if not await _is_in_use(label, subject, client)]
        return sorted(set(left) - await _in_templates(subject, facts, client)) if left else []
    except STOPS_THE_RUN:
        raise
    except PersonaError as error:
        log.warning("Whether the statuses %s exist could not be found out: %s", ", ".join(missing), error)
        return []


async def _is_in_use(label: str, subject: ObjectSubject, client: AsyncPersonaClient) -> bool:
    found = await _list(subject, client, {"page[size]": 1, "filter[status]": label, subject.sparse: ["status"]})
    # Compared once more: a filter that is not heeded, or not heeded to the letter, answers with other objects.
    return any(resource.attribute("status") == label for resource in found)


async def _in_templates(subject: ObjectSubject, facts: StatusLabels, client: AsyncPersonaClient) -> set[str]:
    if not facts.template:
        return set()
    recent = await _list(subject, client, {"page[size]": 100, subject.sparse: ["status", facts.template]})
    pointers = (pointer for resource in recent for pointer in resource.related(facts.template) or ())
    ids = {pointer.id for pointer in pointers if pointer.id and is_path_id(pointer.id)}
    found: set[str] = set()
    for template_id in sorted(ids)[:_MOST_TEMPLATES]:
        called = operation(facts.template_operation)
        request = called.bind({called.path_parameters[0]: template_id})
        template = Document.read(await client.send(request), request.operation_id).resource
        labels = template.attribute(facts.template_attribute) if template is not None else None
        found.update(label for label in (labels if isinstance(labels, list) else ()) if isinstance(label, str))
    return found


async def _list(subject: ObjectSubject, client: AsyncPersonaClient, query: dict[str, Any]) -> list[Resource]:
    assert subject.list_operation is not None  # statuses are looked up by listing
    request = operation(subject.list_operation).bind(query=query)
    return list(Document.read(await client.send(request), request.operation_id).resources)
