"""The calls that change a case. Each checks everything first, then changes, and returns the names of what changed."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from persona_simulator.call import Call
from persona_simulator.config import UnknownFields
from persona_simulator.inflection import kebab
from persona_simulator.problems import RefusedError, bad_request, not_found, unprocessable
from persona_simulator.world import (
    Actor,
    Attachment,
    CaseRecord,
    CaseTemplate,
    FieldDefinition,
    StatusType,
    World,
)

Parts = tuple[str, ...]
Write = Callable[[World, CaseRecord, Call], Parts]

_LONGEST_SLA: Final = 90 * 86_400
_ATTRIBUTES: Final = ("data", "attributes")
_NOT_FIELDS: Final = frozenset({"fields", "attachments", "case-queue-id", "case-template-id", "creator-email-address"})


def actor_of(call: Call) -> Actor:
    """Return who a call's changes are by: its key."""
    return Actor(call.key.key_id, "api-key")


def move(case: CaseRecord, status: str, now: float, actor: Actor) -> Parts:
    """Move a case to a status of its template: an end status resolves it, any other opens it again."""
    if case.status == status:
        return ()
    case.status = status
    if case.status_type is StatusType.END:
        case.resolved_at, case.resolver = now, actor
    else:
        case.resolved_at, case.resolver = None, None
    return ("status",)


def set_status(world: World, case: CaseRecord, call: Call) -> Parts:
    """`POST …/set-status`."""
    status = call.may(str, "meta", "status")
    if status is None and not call.style.spare:
        status = call.may(str, *_ATTRIBUTES, "status")
    if status is None:
        raise bad_request("meta.status is missing")
    if status not in case.template.statuses:
        raise unprocessable(f"Status {status} is not a status of the case template", "/meta/status")
    return move(case, status, call.now, actor_of(call))


def assign(world: World, case: CaseRecord, call: Call) -> Parts:
    """`POST …/assign`."""
    email = call.need(str, "meta", "user-email-address")
    user = world.user_of_email(email)
    if user is None:
        raise unprocessable("User with this email address does not exist", "/meta/user-email-address")
    if case.assignee == user.email:
        return ()
    case.assignee, case.assigned_at, case.assigner = user.email, call.now, actor_of(call)
    return ("assignee",)


def add_objects(world: World, case: CaseRecord, call: Call) -> Parts:
    """`POST …/add-objects`: what is attached already is not attached again."""
    wanted = _object_ids(world, call)
    new = [object_id for object_id in dict.fromkeys(wanted) if object_id not in case.object_ids]
    case.object_ids.extend(new)
    return ("objects",) if new else ()


def remove_objects(world: World, case: CaseRecord, call: Call) -> Parts:
    """`POST …/remove-objects`: what is not attached is passed over."""
    gone = set(call.texts("meta", "object-ids") or _missing("meta.object_ids"))
    left = [object_id for object_id in case.object_ids if object_id not in gone]
    changed = len(left) != len(case.object_ids)
    case.object_ids = left
    return ("objects",) if changed else ()


def add_tag(world: World, case: CaseRecord, call: Call) -> Parts:
    """`POST …/add-tag`: a name that is new becomes a tag."""
    name = _tag(world, call, make=True)
    if name in case.tags:
        return ()
    case.tags.append(name)
    return ("tags",)


def remove_tag(world: World, case: CaseRecord, call: Call) -> Parts:
    """`POST …/remove-tag`: a tag that is not on the case is passed over."""
    name = _tag(world, call, make=False)
    if name not in case.tags:
        return ()
    case.tags.remove(name)
    return ("tags",)


def set_tags(world: World, case: CaseRecord, call: Call) -> Parts:
    """`POST …/set-tags`: replaces all tags."""
    names, ids = call.texts("meta", "tag-name"), call.texts("meta", "tag-id")
    if names is None and ids is None:
        raise bad_request("meta.tag_name is missing")
    unknown = [tag_id for tag_id in ids or () if tag_id not in world.tags]
    if unknown:
        raise not_found("meta.tag_id is not found")
    wanted = list(dict.fromkeys([*(names or ()), *(world.tags[tag_id] for tag_id in ids or ())]))
    for name in wanted:
        world.tag_named(name)
    if wanted == case.tags:
        return ()
    case.tags = wanted
    return ("tags",)


def update(world: World, case: CaseRecord, call: Call) -> Parts:
    """`PATCH …`: fields, queue, attachments, SLA; the rest of the body, a status too, is passed over in silence."""
    if case.redacted_at is not None:
        raise RefusedError(409, "Conflict", "Case already redacted")
    fields = _fields(case.template, call)
    attachments = _attachments(world, call)
    queue_given = call.has(*_ATTRIBUTES, "case-queue-id")
    queue = _queue(world, call)
    sla_given, sla = call.has("meta", "sla-expires-in-seconds"), _sla(call)
    parts = _set_fields(case, fields)
    if attachments:
        case.attachments.extend(attachments)
        parts.append("attachments")
    if queue_given and queue != case.queue_id:
        case.queue_id = queue
        parts.append("queue")
    if sla_given and sla != case.sla_expires_at:
        case.sla_expires_at = sla
        parts.append("sla")
    return tuple(parts)


def redact(world: World, case: CaseRecord, call: Call) -> Parts:
    """`DELETE …`: empties fields and attachments; a second time it does nothing."""
    if case.redacted_at is not None:
        return ()
    case.redacted_at = call.now
    case.fields, case.attachments = {}, []
    return ("fields", "attachments", "redacted")


def create(world: World, call: Call) -> CaseRecord:
    """`POST /cases`: open a case and return it."""
    template_id = call.need(str, *_ATTRIBUTES, "case-template-id")
    template = world.templates.get(template_id)
    if template is None:
        raise not_found("data.attributes.case_template_id is not found")
    creator = actor_of(call)
    if (email := call.may(str, *_ATTRIBUTES, "creator-email-address")) is not None:
        user = world.user_of_email(email)
        if user is None:
            raise unprocessable("User with this email address does not exist", "/data/attributes/creator-email-address")
        creator = Actor(user.email, "user")
    fields, queue, sla = _fields(template, call), _queue(world, call), _sla(call)
    objects = _object_ids(world, call) if call.find("meta", "object-ids") is not None else []
    case = world.open_case(template, call.now, creator)
    case.fields = dict.fromkeys(template.fields) | fields
    case.queue_id, case.sla_expires_at, case.object_ids = queue, sla, list(dict.fromkeys(objects))
    return case


WRITES: Final[Mapping[str, Write]] = {
    "update-a-case": update,
    "redact-a-case": redact,
    "set-status-for-a-case": set_status,
    "assign-a-case": assign,
    "add-persona-objects": add_objects,
    "remove-persona-objects": remove_objects,
    "add-tag": add_tag,
    "remove-tag": remove_tag,
    "set-tags": set_tags,
}
"""Operation id -> what it does to a case."""


def _missing(name: str) -> list[str]:
    raise bad_request(f"{name} is missing")


def _object_ids(world: World, call: Call) -> list[str]:
    found = call.texts("meta", "object-ids")
    if found is None:
        return _missing("meta.object_ids")
    if any(object_id not in world.objects for object_id in found):
        raise not_found("meta.object_ids is not found")
    return found


def _tag(world: World, call: Call, *, make: bool) -> str:
    tag_id = call.may(str, "meta", "tag-id")
    if tag_id is not None:
        if tag_id not in world.tags:
            raise not_found("meta.tag_id is not found")
        return world.tags[tag_id]
    name = call.need(str, "meta", "tag-name")
    if make:
        world.tag_named(name)
    return name


def _queue(world: World, call: Call) -> str | None:
    queue = call.may(str, *_ATTRIBUTES, "case-queue-id")
    if queue is not None and queue not in world.queues:
        raise not_found("data.attributes.case_queue_id is not found")
    return queue


def _sla(call: Call) -> float | None:
    seconds = call.find("meta", "sla-expires-in-seconds")
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise bad_request("meta.sla_expires_in_seconds must be a number")
    if not 0 < seconds <= _LONGEST_SLA:
        raise unprocessable("SLA must expire within 90 days", "/meta/sla-expires-in-seconds")
    return call.now + seconds


def _attachments(world: World, call: Call) -> list[Attachment]:
    attachments = []
    for given in call.may(list, *_ATTRIBUTES, "attachments") or []:
        data, filename = (given.get("data"), given.get("filename")) if isinstance(given, dict) else (None, None)
        if not isinstance(data, str) or not isinstance(filename, str):
            raise bad_request("data.attributes.attachments must have data and filename")
        try:
            content = base64.b64decode(data, validate=True)
        except binascii.Error:
            raise unprocessable("Attachment is not base64 encoded", "/data/attributes/attachments") from None
        if not filename.lower().endswith((".pdf", ".png", ".jpg", ".jpeg")):
            raise unprocessable("Attachment must be a PDF or an image", "/data/attributes/attachments")
        if len(content) > call.config.largest_file:
            raise unprocessable("Attachment is too large", "/data/attributes/attachments")
        attachments.append(Attachment(world.files.store(filename, content)))
    return attachments


def _fields(template: CaseTemplate, call: Call) -> dict[str, Any]:
    """Return the fields that a call sets, by their configured keys, checked."""
    given = dict(call.may(dict, *_ATTRIBUTES, "fields") or {})
    by_spelling = {key: key for key in template.fields}
    if not call.style.spare:
        by_spelling |= {kebab(key): key for key in template.fields}
        given = {kebab(name): value for name, value in given.items()}
        beside = call.may(dict, *_ATTRIBUTES) or {}
        given = {k: v for k, v in beside.items() if k not in _NOT_FIELDS and k in by_spelling} | given
    fields = {}
    for name, value in given.items():
        key = by_spelling.get(name)
        if key is not None:
            fields[key] = _field_value(template.fields[key], value)
        elif call.config.unknown_fields is UnknownFields.REJECT:
            raise unprocessable(f"Field {name} is not a field of the case template", f"/data/attributes/fields/{name}")
    return fields


def _field_value(definition: FieldDefinition, value: Any) -> Any:
    if value is not None and not _FIELD_TESTS.get(definition.field_type, _is_text)(value):
        pointer = f"/data/attributes/fields/{definition.key}"
        raise unprocessable(f"{definition.key} is not a valid {definition.field_type}", pointer)
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_date(value: Any) -> bool:
    try:
        date.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True


_FIELD_TESTS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "integer": lambda value: _is_number(value) and isinstance(value, int),
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "date": _is_date,
}


def _set_fields(case: CaseRecord, fields: Mapping[str, Any]) -> list[str]:
    changed = [key for key, value in fields.items() if case.fields.get(key) != value or key not in case.fields]
    case.fields = {**case.fields, **fields}
    return [f"fields.{key}" for key in changed]
