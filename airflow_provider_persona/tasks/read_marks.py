"""Where an incremental read keeps the mark that the next one goes back to: on an asset, or in a small file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.export.listing import Mark
from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.storage.paths import prepare_folder, read_regular, shown
from airflow_provider_persona.storage.run_folders import fingerprint, run_folder
from airflow_provider_persona.storage.whole_files import write_whole
from airflow_provider_persona.tasks.identity import TaskIdentity

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.storage.paths import StorePath


class AssetMarks:
    """Keeps the mark with an asset, where Airflow shows it (3.3 and later).

    :param state: the asset's part of `context["asset_state_store"]`.
    :param key: name of the mark there.
    """

    def __init__(self, state: Any, key: str) -> None:
        self._state = state
        self._key = key

    def read(self) -> Mark | None:
        """Return the mark, None when there is none yet."""
        return Mark.from_json(self._state.get(self._key))

    def write(self, mark: Mark) -> None:
        """Keep a mark in place of the one before."""
        self._state.set(self._key, mark.to_json())


class FileMarks:
    """Keeps the mark in a file of its own.

    :param path: the file.
    """

    def __init__(self, path: StorePath) -> None:
        self._path = path

    def read(self) -> Mark | None:
        """Return the mark, None when there is none yet.

        :raises StoreError: when there is a file that cannot be read. People must decide whether to read all again.
        """
        try:
            text = read_regular(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:  # fsspec's stores raise what their libraries raise
            raise self._unreadable(error) from error
        try:
            mark = Mark.from_json(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise self._unreadable(error) from error
        if mark is None:
            raise self._unreadable(ValueError())
        return mark

    def write(self, mark: Mark) -> None:
        """Keep a mark in place of the one before.

        :raises StoreError: when it cannot be written.
        """
        prepare_folder(self._path.parent)
        write_whole(self._path, [json.dumps(mark.to_json()).encode()])

    def _unreadable(self, error: Exception) -> StoreError:
        return StoreError(
            f"the mark of the last incremental read, {shown(self._path)}, cannot be read ({type(error).__name__}); "
            "restore it, or delete it to read everything again",
            retryable=not isinstance(error, ValueError),
        )


def mark_store(outlets: Iterable[Any] | None, context: Context, key: str, root: StorePath) -> AssetMarks | FileMarks:
    """Return where a task keeps its mark: on its outlet asset where Airflow can do so (3.3), else in a file.

    Each task, and each of its mapped instances, has marks of its own, also where several write to one asset.

    :param outlets: the task's outlets.
    :param key: fingerprint of what is read: another query has another mark.
    :param root: folder below which the file is.
    """
    owner = TaskIdentity.of(context["ti"]).task_parts
    given: Mapping[str, Any] = context
    stores = given["asset_state_store"] if "asset_state_store" in given else None  # noqa: SIM401 - 2.11 has no such get
    for outlet in outlets or ():
        state = _of_asset(stores, outlet)
        if state is not None:
            return AssetMarks(state, f"persona_mark_{fingerprint(*owner, key)}")
    return FileMarks(run_folder(root, ["marks", *owner]) / f"{key}.json")


def _of_asset(stores: Any, outlet: Any) -> Any:
    if stores is None:
        return None
    try:
        return stores[outlet]
    except (KeyError, TypeError):  # an alias, which has no state of its own
        return None
