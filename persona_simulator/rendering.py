"""How things look in an answer: JSON:API-like objects in the version, spelling and sparseness that was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from persona_simulator.clock import timestamp
from persona_simulator.config import VERSION_OF_SPARE_ANSWERS, Inflection
from persona_simulator.files import FileStore, StoredFile
from persona_simulator.inflection import inflected, kebab
from persona_simulator.world import CaseRecord, CaseTemplate, RelatedObject, StatusType, World

_dump = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class AnswerStyle:
    """What decides the shape of an answer.

    :param version: API version.
    :param inflection: spelling of keys.
    :param sparse: type -> attributes that were asked for, in kebab-case except below `fields.`; a type that is not
        there is answered in full.
    :param include: relationships to serialize in full; None when the request says nothing.
    :param origin: scheme and host under which the client knows the server, for links to files.
    :param now: simulated time in epoch seconds, from which on links work for a while.
    """

    version: str
    inflection: Inflection
    sparse: Mapping[str, frozenset[str]] = field(default_factory=dict)
    include: tuple[str, ...] | None = None
    origin: str = ""
    now: float = 0.0

    @property
    def spare(self) -> bool:
        """Whether the version includes nothing unasked and leaves the keys of `fields` alone."""
        return self.version >= VERSION_OF_SPARE_ANSWERS


_CASE_ATTRIBUTES: Final[Mapping[str, Callable[[CaseRecord], Any]]] = {
    "status": lambda case: case.status,
    "name": lambda case: case.name,
    "resolution": lambda _: None,
    "created-at": lambda case: timestamp(case.created_at),
    "updated-at": lambda case: timestamp(case.updated_at),
    "assigned-at": lambda case: timestamp(case.assigned_at),
    "resolved-at": lambda case: timestamp(case.resolved_at),
    "redacted-at": lambda case: timestamp(case.redacted_at),
    "sla-expires-at": lambda case: timestamp(case.sla_expires_at),
    "creator-id": lambda case: case.creator.actor_id,
    "creator-type": lambda case: case.creator.actor_type,
    "assignee-id": lambda case: case.assignee,
    "assigner-id": lambda case: case.assigner.actor_id if case.assigner else None,
    "assigner-type": lambda case: case.assigner.actor_type if case.assigner else None,
    "resolver-id": lambda case: case.resolver.actor_id if case.resolver else None,
    "resolver-type": lambda case: case.resolver.actor_type if case.resolver else None,
    "updater-id": lambda case: case.updater.actor_id if case.updater else None,
    "updater-type": lambda case: case.updater.actor_type if case.updater else None,
    "tags": lambda case: list(case.tags),
    "fields": lambda case: case.fields,
    "attachments": lambda _: [],
}

_RELATIONSHIPS: Final = ("accounts", "inquiries", "reports", "verifications", "txns")
_SHAPES_KEPT: Final = 4
"""Texts kept of one case; a run asks for the same few shapes again and again."""
INCLUDABLE: Final = frozenset({*_RELATIONSHIPS, "case-template", "case-queue", "case-comments"})
_INCLUDED_UNASKED: Final = ("accounts", "inquiries", "reports", "verifications", "case-comments")


_BLANK_INQUIRY: Final[Mapping[str, Any]] = {
    "status": "created",
    "behaviors": {},
    "tags": [],
    "creator": "API",
    "created-at": "2025-01-06T08:00:00.000Z",
    "updated-at": "2025-01-06T08:00:00.000Z",
    "fields": {},
    **dict.fromkeys(("reference-id", "note", "reviewer-comment", "previous-step-name", "next-step-name")),
    **dict.fromkeys(("started-at", "expires-at", "completed-at", "failed-at", "expired-at", "redacted-at")),
    **dict.fromkeys(("marked-for-review-at", "decisioned-at")),
}
"""The published shape of inquiries requires every attribute, as that of no other stub does."""


def case_text(world: World, case: CaseRecord, style: AnswerStyle) -> str:
    """Return one case as JSON text."""
    wanted = style.sparse.get("case")
    shape = (style.inflection, style.spare, wanted)
    text = case.rendered.get(shape)
    if text is None:
        text = _dump(_spelt(case_object(world, case, style, wanted), style))
        if len(case.rendered) < _SHAPES_KEPT and not case.attachments:
            case.rendered[shape] = text
    return text


def case_answer(world: World, case: CaseRecord, style: AnswerStyle) -> bytes:
    """Return the body of an answer about one case, with what is to be included."""
    names = style.include
    if names is None:
        names = () if style.spare else _INCLUDED_UNASKED
    included = _dump(_spelt(list(_included(world, case, names, style)), style)) if names else "[]"
    return f'{{"data":{case_text(world, case, style)},"included":{included}}}'.encode()


def collection_answer(
    world: World, cases: Iterable[CaseRecord], links: Mapping[str, str | None], style: AnswerStyle
) -> bytes:
    """Return the body of one page of cases."""
    texts = ",".join([case_text(world, case, style) for case in cases])
    return f'{{"data":[{texts}],"links":{_dump(dict(links))}}}'.encode()


def object_answer(value: Mapping[str, Any], style: AnswerStyle) -> bytes:
    """Return any other body; `value` has kebab-case keys."""
    return _dump(_spelt(dict(value), style)).encode()


def template_object(template: CaseTemplate, style: AnswerStyle) -> dict[str, Any]:
    """Return a case template as a JSON:API object."""
    attributes = {
        "status": "active",
        "name": template.name,
        "resolutions": [label for label, kind in template.statuses.items() if kind is StatusType.END],
        "created-at": timestamp(template.created_at),
        "updated-at": timestamp(template.created_at),
        "archived-at": None,
        "field-schemas": [{"type": each.field_type, "key": each.key} for each in template.fields.values()],
    }
    return _stub("case-template", template.template_id, attributes, style)


def case_object(world: World, case: CaseRecord, style: AnswerStyle, wanted: frozenset[str] | None) -> dict[str, Any]:
    """Return a case as a JSON:API object.

    :param wanted: the attributes to show, None for all.
    """
    if wanted is None:
        attributes = {name: read(case) for name, read in _CASE_ATTRIBUTES.items()}
    else:
        attributes = {name: _CASE_ATTRIBUTES[name](case) for name in _CASE_ATTRIBUTES if name in wanted}
        if "fields" not in wanted and (keys := _field_keys(wanted)):
            attributes["fields"] = {key: value for key, value in case.fields.items() if kebab(key) in keys}
    if case.attachments and "attachments" in attributes:
        attributes["attachments"] = [file_object(world.files, each.file, style) for each in case.attachments]
    relationships: dict[str, Any] = {
        "case-template": {"data": {"type": "case-template", "id": case.template.template_id}},
        "case-queue": {"data": {"type": "case-queue", "id": case.queue_id} if case.queue_id else None},
        "case-comments": {"data": [{"type": "case-comment", "id": comment} for comment in case.comment_ids]},
    }
    relationships.update({name: {"data": []} for name in _RELATIONSHIPS})
    for object_id in case.object_ids:
        stub = world.objects[object_id]
        if stub.relationship:
            relationships[stub.relationship]["data"].append({"type": stub.object_type, "id": object_id})
    return {"type": "case", "id": case.case_id, "attributes": attributes, "relationships": relationships}


def file_object(files: FileStore, file: StoredFile, style: AnswerStyle) -> dict[str, Any]:
    """Return how an answer shows a file: with a link to it."""
    url = files.link(file, origin=style.origin, version=style.version, now=style.now)
    return {"filename": file.filename, "url": url, "byte-size": file.size}


def _field_keys(wanted: frozenset[str]) -> frozenset[str]:
    return frozenset(kebab(name.removeprefix("fields.")) for name in wanted if name.startswith("fields."))


def _thinned(attributes: dict[str, Any], object_type: str, style: AnswerStyle) -> dict[str, Any]:
    wanted = style.sparse.get(object_type)
    return attributes if wanted is None else {name: value for name, value in attributes.items() if name in wanted}


def _included(world: World, case: CaseRecord, names: tuple[str, ...], style: AnswerStyle) -> Iterable[dict[str, Any]]:
    for name in names:
        if name == "case-template":
            yield template_object(case.template, style)
        elif name == "case-queue" and case.queue_id:
            yield _stub("case-queue", case.queue_id, {"status": "active", "name": world.queues[case.queue_id]}, style)
        elif name == "case-comments":
            for comment in case.comment_ids:
                yield _stub("case-comment", comment, {"message": "Looks fine to me."}, style)
        else:
            for related in world.related(case, name):
                yield _related(related, style)


def _related(related: RelatedObject, style: AnswerStyle) -> dict[str, Any]:
    attributes = related.attributes
    if related.object_type == "inquiry":
        attributes = {**_BLANK_INQUIRY, **attributes}
    return {**_stub(related.object_type, related.object_id, attributes, style), "relationships": {}}


def _stub(object_type: str, object_id: str, attributes: Mapping[str, Any], style: AnswerStyle) -> dict[str, Any]:
    return {"type": object_type, "id": object_id, "attributes": _thinned(dict(attributes), object_type, style)}


def _spelt(value: Any, style: AnswerStyle) -> Any:
    if style.inflection is Inflection.KEBAB and style.spare:
        return value
    return inflected(value, style.inflection, spare_fields=style.spare)
