"""Requests for cases, from the arguments of `PersonaHook`'s methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_persona.api.messages import Request
from airflow_provider_persona.api.operations import operation


def reading(case_id: str, fields: Iterable[str] | None, include: Iterable[str]) -> Request:
    """Return the request for one case."""
    query = {"fields[case]": _list(fields), "include": ",".join(include)}
    return operation("retrieve-case").bind({"case-id": case_id}, query)


def listing(filters: Mapping[str, str], fields: Iterable[str] | None, page_size: int) -> Request:
    """Return the request for the first page of a list."""
    query = {f"filter[{name}]": value for name, value in filters.items()}
    return operation("list-all-cases").bind(query={**query, "fields[case]": _list(fields), "page[size]": page_size})


def searching(
    query: Mapping[str, Any], sort: Mapping[str, str] | None, fields: Iterable[str] | None, page_size: int
) -> Request:
    """Return the request for the first page of a search."""
    body = {"query": dict(query), **({"sort": dict(sort)} if sort else {})}
    return operation("search-cases").bind(query={"fields[case]": _list(fields), "page[size]": page_size}, body=body)


def creating(
    case_template_id: str,
    creator_email_address: str | None,
    case_queue_id: str | None,
    fields: Mapping[str, Any] | None,
    object_ids: Iterable[str],
    sla_expires_in: int | None,
) -> Request:
    """Return the request that opens a case."""
    attributes = {
        "case-template-id": case_template_id,
        "creator-email-address": creator_email_address,
        "case-queue-id": case_queue_id,
        "fields": dict(fields) if fields else None,
    }
    meta = {"object-ids": list(object_ids) or None, "sla-expires-in-seconds": sla_expires_in}
    body = {"data": {"attributes": _given(attributes)}, "meta": _given(meta)}
    return operation("create-a-case").bind(body=_given(body))


def _list(names: Iterable[str] | None) -> str | None:
    return None if names is None else ",".join(names)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is None or empty."""
    return {name: value for name, value in values.items() if value not in (None, {})}
