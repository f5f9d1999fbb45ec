"""Where files of tasks go: addresses become paths, and the folder for what the provider itself keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import conf

if TYPE_CHECKING:
    from airflow_provider_persona.bulk.store import StorePath


def store_path(address: str) -> StorePath:
    """Return the path that an address means: local, or in an object store when it has a scheme.

    :param address: like `/data/persona` or `s3://aws_default@bucket/persona`.
    :raises StoreError: when there is no way to such a store here.
    """
    if "://" not in address:
        from pathlib import Path

        return Path(address).expanduser()
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    try:
        path: Any = ObjectStoragePath(address)  # a UPath, which its type does not tell on every Airflow
        _ = path.fs  # or else a missing package would come up with the first file, wherever that is
    except (ImportError, ValueError) as error:
        from airflow_provider_persona.bulk.errors import StoreError

        raise StoreError(
            f"{address} cannot be used here ({error}); check the address, and that its store's package is installed"
        ) from error
    return cast("StorePath", path)


def state_root(given: str | None) -> StorePath:
    """Return the folder for the provider's own files.

    :param given: its address; by default what `[persona] state_path` says, or the folder `persona` below AIRFLOW_HOME.
    """
    address = given or conf.get("persona", "state_path", fallback="")
    if address:
        return store_path(address)
    import os
    from pathlib import Path

    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "persona"
