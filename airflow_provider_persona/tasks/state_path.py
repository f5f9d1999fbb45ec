"""Turns addresses into paths, and finds the folder for the provider's own files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.tasks.arguments import as_text, is_given
from airflow_provider_persona.version_compat import conf

if TYPE_CHECKING:
    from airflow_provider_persona.storage.paths import StorePath


def store_path(address: str) -> StorePath:
    """Return the path that an address means: local, or in an object store when it has a scheme.

    :param address: like `/data/persona` or `s3://aws_default@bucket/persona`.
    :raises StoreError: when the package for such a store is not installed, or the address is malformed.
    :raises BadCallError: when it is empty. Taken for a path, it is the folder in which the worker happens to be.
    """
    if not isinstance(address, str) or not is_given(address):
        raise BadCallError("the address of a file or folder is empty; a template may have rendered to nothing")
    from airflow_provider_persona.storage.errors import StoreError

    # Others would be taken for a path below the folder in which this process happens to work; the next has another one.
    if address.lower().startswith("file:") and not address.lower().startswith("file:///"):
        raise StoreError(f"{address} cannot be used here; write file:///folder, or the path alone")
    if "://" not in address:
        try:
            return Path(address).expanduser()
        except RuntimeError:
            raise StoreError(f"{address} cannot be used here: there is no such home folder") from None
    from airflow_provider_persona.version_compat import ObjectStoragePath

    try:
        path: Any = ObjectStoragePath(address)  # a UPath; on some versions of Airflow its type does not say so
        _ = path.fs  # makes a missing package show here, and not with the first file
    except (ImportError, ValueError) as error:
        raise StoreError(
            f"{address} cannot be used here ({error}); check the address, and that its store's package is installed"
        ) from error
    return cast("StorePath", path)


def is_within(address: str, place: str) -> bool:
    """Whether an address is below a local folder, or in the same object store as another address.

    :param address: the address. Links and `..` in a local one are followed first.
    :param place: the folder, or an address in the store, like `s3://aws_default@bucket/persona`.
    """
    (store, path), (other_store, folder) = _parts(address), _parts(place)
    if store != other_store:
        return False
    if store is not None:
        return True
    try:
        found = Path(path).expanduser().resolve()
        is_in_circle = any(map(Path.is_symlink, (found, *found.parents)))  # before Python 3.13 `resolve` raises
        return not is_in_circle and found.is_relative_to(Path(folder).expanduser().resolve())
    except (OSError, ValueError, RuntimeError):  # no path at all (NUL), links in a circle, no such user
        return False


def _parts(address: str) -> tuple[tuple[str, str] | None, str]:
    """Return the store of an address, None for the local disk, and its path.

    The id of a connection before the name of the bucket says who asks, and not where.
    """
    scheme, mark, rest = address.partition("://")  # not `urlsplit`: a name may hold `#` and `?`
    if not mark or scheme in ("file", "local"):
        return None, rest or address
    bucket, _, path = rest.partition("/")
    return (scheme, bucket.rpartition("@")[2]), path


def state_root(given: str | None) -> StorePath:
    """Return the folder for the provider's own files; parameter as for `state_address`."""
    return store_path(state_address(given))


def state_address(given: str | None) -> str:
    """Return the address of the folder for the provider's own files.

    :param given: its address; by default what `[persona] state_path` says, or the folder `persona` below AIRFLOW_HOME.
    """
    given = as_text(given, "state_path")
    address = given if is_given(given) else conf.get("persona", "state_path", fallback="")
    if address:
        return str(address)
    import os

    return f"{os.environ.get('AIRFLOW_HOME', '~/airflow')}/persona"
