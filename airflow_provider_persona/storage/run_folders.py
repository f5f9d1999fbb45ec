"""Names of the folders of runs, and fingerprints that tell the sources of two runs apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_persona.api.messages import canonical_json
from airflow_provider_persona.storage.paths import StorePath

_LONGEST_NAME = 120


def fingerprint(*parts: Any) -> str:
    """Return a short hash of what rows come from, to tell a plan of the same source from another's."""
    return hashlib.sha256(canonical_json([str(_in_order(part)) for part in parts])).hexdigest()[:16]


def _in_order(part: Any) -> Any:
    """Return a value with the same text in every process: a set has no fixed order."""
    if isinstance(part, set | frozenset):
        return sorted(map(str, part))
    if isinstance(part, Mapping):
        return {key: _in_order(value) for key, value in part.items()}
    return [_in_order(one) for one in part] if isinstance(part, list | tuple) else part


def run_folder(root: StorePath, parts: Iterable[str]) -> StorePath:
    """Return the folder of a run below `root`; each part becomes one name that is safe in any store."""
    folder = root
    for part in parts:
        folder = folder / _safe(part)
    return folder


def _safe(part: str) -> str:
    kept = "".join(character if _is_safe(character) else "_" for character in part)
    if kept == part and part.strip(".") and len(part) <= _LONGEST_NAME:
        return part
    # With a hash: two parts that differ in what was replaced (`a:b`, `a/b`) must not share a folder.
    return f"{kept.strip('.')[:80]}-{fingerprint(part)[:8]}"


def _is_safe(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character in "-_.")
