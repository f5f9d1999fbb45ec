"""Where an incremental read keeps the mark that the next one begins from: on an asset, or in a small file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_persona.bulk.errors import StoreError
from airflow_provider_persona.bulk.run import fingerprint, run_folder
from airflow_provider_persona.bulk.store import shown, write_whole
from airflow_provider_persona.bulk.whole_file import make_folder
from airflow_provider_persona.transfers.listing import Mark

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

    from airflow_provider_persona.bulk.store import StorePath


class MarkStore(Protocol):
    """Keeps one mark."""

    def read(self) -> Mark | None:
        """Return the mark, None when there is none yet."""

    def write(self, mark: Mark) -> None:
        """Keep a mark in place of the one before."""


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
    """Keeps the mark in a file.

    :param path: the file.
    """

    def __init__(self, path: StorePath) -> None:
        self._path = path

    def read(self) -> Mark | None:
        """Return the mark, None when there is none yet.

        :raises StoreError: when there is a file that cannot be read: to begin anew is for people to decide.
        """
        try:
            text = self._path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:  # fsspec's stores raise what their libraries raise
            raise self._unreadable(error) from error
        try:
            mark = Mark.from_json(json.loads(text))
        except ValueError as error:
            raise self._unreadable(error) from error
        if mark is None:
            raise self._unreadable(ValueError())
        return mark

    def write(self, mark: Mark) -> None:
        """Keep a mark in place of the one before.

        :raises StoreError: when it cannot be written.
        """
        make_folder(self._path.parent)
        write_whole(self._path, [json.dumps(mark.to_json()).encode()])

    def _unreadable(self, error: Exception) -> StoreError:
        return StoreError(
            f"the mark of the last incremental read, {shown(self._path)}, cannot be read ({type(error).__name__}); "
            "restore it, or delete it to read everything again",
            retryable=not isinstance(error, ValueError),
        )


def mark_store(operator: BaseOperator, context: Context, key: str, root: StorePath) -> MarkStore:
    """Return where an operator keeps its mark: its outlet asset where Airflow can (3.3), else a file.

    Each task, and each of its mapped instances, has marks of its own, also where several write to one asset.

    :param key: what is read, as a fingerprint: another query has another mark.
    :param root: folder below which the file is.
    """
    ti = context["ti"]
    owner = [ti.dag_id, ti.task_id]
    if ti.map_index is not None and ti.map_index >= 0:
        owner.append(str(ti.map_index))
    given: Mapping[str, Any] = context
    stores = given["asset_state_store"] if "asset_state_store" in given else None  # noqa: SIM401 - 2.11 has no such get
    for outlet in operator.outlets or ():
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
