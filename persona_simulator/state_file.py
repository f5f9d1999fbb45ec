"""Cases on disk, so that a simulator can be stopped and started again with what was done to its cases.

Journal, request log, kept answers and limits are of one run and are not saved, nor are the bytes of attachments.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from persona_simulator.population import populate
from persona_simulator.world import Actor, Attachment, CaseRecord, World

if TYPE_CHECKING:
    from pathlib import Path

    from persona_simulator.config import SimulatorConfig

_FORMAT: Final = 1
_PLAIN: Final = (
    "case_id",
    "ordinal",
    "name",
    "status",
    "created_at",
    "fields",
    "updated_at",
    "assigned_at",
    "assignee",
    "resolved_at",
    "redacted_at",
    "sla_expires_at",
    "queue_id",
    "tags",
    "object_ids",
    "comment_ids",
)
_ACTORS: Final = ("creator", "updater", "assigner", "resolver")


def save_world(world: World, path: Path) -> None:
    """Write the cases of `world` to `path`, whole or not at all."""
    objects = [(stub.object_id, dict(stub.attributes)) for stub in world.objects.values()]
    content = {"format": _FORMAT, "tags": world.tags, "objects": objects, "cases": [_saved(c) for c in world.order]}
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(content), "utf-8")
    draft.replace(path)


def load_world(config: SimulatorConfig) -> World | None:
    """Return the world saved in the configured file; None when none is configured or it is not there.

    :raises ValueError: when the file is something else.
    """
    path = config.state_file
    if path is None or not path.exists():
        return None
    content = json.loads(path.read_text("utf-8"))
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"{path} is no state file of this simulator")
    world = populate(0, config.seed, config.reviewers)
    world.tags = content["tags"]
    for object_id, attributes in content["objects"]:
        world.add_object(object_id, attributes)
    for saved in content["cases"]:
        world.adopt(_loaded(world, saved))
    return world


def _saved(case: CaseRecord) -> dict[str, Any]:
    plain = {name: getattr(case, name) for name in _PLAIN}
    actors = {name: [who.actor_id, who.actor_type] if (who := getattr(case, name)) else None for name in _ACTORS}
    attachments = [[attachment.filename, attachment.byte_size] for attachment in case.attachments]
    return {**plain, **actors, "template_id": case.template.template_id, "attachments": attachments}


def _loaded(world: World, saved: dict[str, Any]) -> CaseRecord:
    plain = {name: saved[name] for name in _PLAIN}
    actors: dict[str, Any] = {name: Actor(*saved[name]) if saved[name] else None for name in _ACTORS}
    attachments = [Attachment(world.files.store(filename, None, size=size)) for filename, size in saved["attachments"]]
    return CaseRecord(template=world.templates[saved["template_id"]], attachments=attachments, **plain, **actors)
