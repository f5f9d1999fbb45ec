"""The addresses `persona://<environment>/<kind>`, like `persona://env_abc/case`: all objects of a kind.

Airflow finds these functions through the provider's metadata. It checks the addresses of assets with them, makes assets
for hook lineage, and translates them for OpenLineage.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset
    from airflow.providers.common.compat.sdk import Asset

_KIND: Final = re.compile(r"/[a-z][a-z0-9-]*")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return the address of an asset, checked.

    :param uri: the address, split.
    :raises ValueError: when it does not name an environment and one kind of object, or names more.
    """
    if not uri.netloc or "@" in uri.netloc or not _KIND.fullmatch(uri.path) or uri.query:
        raise ValueError(
            "an address of Persona is persona://<environment>/<kind>, like persona://env_abc/case: the environment's "
            "id and the kind of object in small letters, and nothing else"
        )
    return uri


def create_asset(*, environment: str, kind: str, extra: dict[str, Any] | None = None) -> Asset:
    """Return the asset of all objects of a kind.

    :param environment: id of Persona's environment (`env_…`).
    :param kind: kind of object, like `case`, `inquiry` or `list-item`.
    :param extra: the asset's extra.
    :raises ValueError: when they make no address.
    """
    from airflow_provider_persona.version_compat import Asset

    return Asset(uri=f"persona://{environment}/{kind}", extra=extra)


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> OpenLineageDataset:  # noqa: ARG001 - Airflow's
    """Return the dataset of OpenLineage that an asset means: the environment is its namespace, the kind its name."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    parts = urlsplit(str(asset.uri))
    return Dataset(namespace=f"persona://{parts.netloc}", name=parts.path.removeprefix("/"))
