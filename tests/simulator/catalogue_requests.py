"""The least that each operation of the catalogue may be called with, built from the catalogue's own entry.

Keys and path parameters have example values by name; where a call needs a thing in a certain state, that is listed too.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from airflow_provider_persona.api.operations import Operation
from persona_simulator import SimulatorControl

FILE = {"data": base64.b64encode(b"value\n192.0.2.1\n").decode(), "filename": "rows.csv"}
PHOTO = {"data": [{"data": "AAAA", "filename": "photo.png"}]}
TRANSLATION = {
    "step": "start",
    "step-display-name": "Start",
    "component": "title",
    "attribute-name": "text",
    "locale-values": [{"locale": "en", "value": "Hello"}],
}

PATHS: Mapping[str, str] = {
    "account-id": "act_sim000001",
    "account-type-id": "acttp_user",
    "api-key-id": "api_sim000001",
    "api-log-id": "req_sim0000000001",
    "case-id": "case_sim000001",
    "case-template-id": "ctmpl_kyc",
    "client-token-id": "ctkn_sim000001",
    "connection-id": "cxn_partner",
    "device-id": "dev_sim000001",
    "document-id": "doc_generic",
    "event-id": "evt_sim00000001",
    "file-token": "file000001",
    "filename": "passport.png",
    "graph-query-id": "grphq_sim000001",
    "importer-id": "mprt_sim000001",
    "inquiry-id": "inq_sim000001",
    "inquiry-session-id": "iqse_sim000001",
    "inquiry-template-id": "itmpl_kyc",
    "list-id": "lst_name",
    "relay-token": "relay_sim000001",
    "report-id": "rep_sim000001",
    "sar-id": "sar_sim000001",
    "share-token-id": "cnst_sim000001",
    "theme-set-id": "thst_sim000001",
    "transaction-id": "txn_sim000001",
    "transaction-type-id": "txntp_payment",
    "user-audit-log-id": "ual_sim000001",
    "verification-id": "ver_government_id",
    "webhook-id": "wbh_sim000001",
    "workflow-id": "wfl_onboarding",
    "workflow-run-id": "wfr_sim000001",
}
KINDS: Mapping[str, str] = {
    "aamvas": "ver_aamva",
    "database-businesses": "ver_database_business",
    "database-ecbsvs": "ver_database_ecbsv",
    "database-phone-carriers": "ver_database_phone_carrier",
    "database-serpros": "ver_database_serpro",
    "database-standards": "ver_database_standard",
    "database-tins": "ver_database_tin",
    "databases": "ver_database",
    "documents": "ver_document",
    "email-addresses": "ver_email_address",
    "government-id-nfcs": "ver_government_id_nfc",
    "government-ids": "ver_government_id",
    "phone-numbers": "ver_phone_number",
    "selfies": "ver_selfie",
}
ITEMS: Mapping[str, str] = {
    "browser-fingerprints": "libf_browser_fingerprint",
    "countries": "lic_country",
    "device-fingerprints": "lidf_device_fingerprint",
    "email-addresses": "liea_email_address",
    "faces": "lif_face",
    "fields": "liif_field",
    "geolocations": "ligl_geolocation",
    "government-id-numbers": "ligin_government_id_number",
    "ip-addresses": "liip_ip_address",
    "names": "lin_name",
    "phone-numbers": "lipn_phone_number",
    "strings": "lis_string",
}
VALUES: Mapping[str, Any] = {
    "account-action-id": "accac_simulatedsimulatedsimula",
    "address-country-code": "US",
    "address-postal-code": "94105",
    "address-street-1": "1 Main Street",
    "address-subdivision": "CA",
    "allowed-resources": ["inq_sim000002"],
    "api-key-id": "api_sim000001",
    "attributes": {},
    "blinded-token": "YmxpbmRlZA",
    "business-name": "Brandt Ltd",
    "case-id": "case_sim000001",
    "case-template-id": "ctmpl_kyc",
    "claim-type": "age_over_18",
    "client-id": "org_partner",
    "code": "8qaA6Q9GQnPj",
    "confirmation-code": "123456",
    "connection-id": "cxn_partner",
    "country-code": "US",
    "cpf": "00000000191",
    "data": {"narrative": "seen"},
    "destination-organization-id": "org_partner",
    "document-id": "doc_generic",
    "email-address": "hana@people.example",
    "enabled-events": ["case.created"],
    "entity-id": "ent_1",
    "expires-in-seconds": 3600,
    "face-photo": {"data": "AAAA", "filename": "face.png"},
    "field-value": "x-0002",
    "fields": {},
    "fields-stubs": {"name-first": "Hana"},
    "file": FILE,
    "front-photo": PHOTO,
    "grant-type": "authorization_code",
    "graph-query-template-id": "grphqt_links",
    "id-number": "P0000002",
    "image-files": [{"data": "AAAA", "filename": "face.png"}],
    "inquiry-id": "inq_sim000001",
    "inquiry-ids": ["inq_sim000001"],
    "inquiry-template-id": "itmpl_kyc",
    "key-id": "key_1",
    "kind": "utility_bill",
    "label": "fraud",
    "latitude": 60.2,
    "list-id": "lst_name",
    "longitude": 24.9,
    "name": "Made by a test",
    "name-first": "Hana",
    "name-last": "Brandt",
    "object-ids": ["act_sim000002"],
    "phone-number": "+358401234568",
    "query": {"attribute": "status", "operator": "eq", "value": "completed"},
    "radius-meters": 50,
    "reason": "Another person",
    "relation-schema-key": "owner",
    "response-type": "code",
    "scope": "inquiry.read:inq_sim000001",
    "scopes": ["inquiry.read"],
    "simulate-actions": [{"type": "complete_inquiry"}],
    "source-account-ids": ["act_sim000002"],
    "source-id": "inq_sim000001",
    "status": "Pending",
    "tag-name": "vip",
    "target-object-id": "act_sim000002",
    "tin": "123456789",
    "transaction-type-id": "txntp_payment",
    "translations": [TRANSLATION],
    "type": "report/watchlist",
    "url": "https://backoffice.example/persona",
    "user-email-address": "ana.reviewer@example.com",
    "value": "192.0.2.8",
    "verification-template-id": "vtmpl_kyc",
}
QUERIES: Mapping[str, str] = {
    "filter[key]": "owner",
    "filter[inquiry-session-id]": "iqse_sim000001",
    "filter[workflow-id]": "wfl_onboarding",
    "filter[inquiry-template-id]": "itmpl_kyc",
}
STATES: Mapping[str, Mapping[str, str]] = {
    "approve-an-inquiry": {"inq_sim000001": "needs_review"},
    "expire-an-inquiry": {"inq_sim000001": "pending"},
    "resume-an-inquiry": {"inq_sim000001": "expired"},
    "update-a-document": {"doc_generic": "initiated"},
    "submit-a-document": {"doc_generic": "initiated"},
    "update-a-government-id-document": {"doc_government_id": "initiated"},
    "submit-a-government-id-document": {"doc_government_id": "initiated"},
    "reactivate-a-connect-connection": {"cxn_partner": "inactive"},
}
"""Operation -> states into which things are put before the call."""
BEFOREHAND: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "api_sim000001": ("create-an-api-key", {}),
    "cnst_sim000001": ("create-a-share-token", {}),
    "evt_sim00000001": ("create-an-account", {}),
    "file000001": ("retrieve-a-generic-document", {}),
    "grphq_sim000001": ("create-a-graph-query", {}),
    "mprt_sim000001": ("import-an-account", {}),
    "relay_sim000001": ("create-a-relay", {}),
    "req_sim0000000001": ("list-all-cases", {}),
    "sar_sim000001": ("create-suspicious-activity-report", {}),
    "wfr_sim000001": ("create-a-workflow-run", {}),
}
"""Thing that nothing seeds -> the operation that makes it."""
_ITEM_VALUES: Mapping[str, Any] = {
    "search-cases": {"attribute": "status", "operator": "eq", "value": "Open"},
    "search-accounts": {"attribute": "status", "operator": "eq", "value": "Default"},
    "create-a-report": {"term": "Mallory"},
    "business-lookup-report-1": {
        "business-name": "Brandt Ltd",
        "address-street-1": "1 Main Street",
        "address-city": "Springfield",
        "address-subdivision": "CA",
        "address-postal-code": "94105",
    },
}


def path_of(operation: Operation) -> dict[str, str]:
    """Return a value for each path parameter."""
    group, kind = [*operation.path.strip("/").split("/"), ""][:2]
    values = {name: PATHS[name] for name in operation.path_parameters if name in PATHS}
    if "verification-id" in operation.path_parameters and group == "verification":
        values["verification-id"] = KINDS[kind]
    if "list-item-id" in operation.path_parameters:
        values["list-item-id"] = ITEMS[kind]
    if group == "document" and kind == "government-ids" and "document-id" in values:
        values["document-id"] = "doc_government_id"
    return values


def body_of(operation: Operation) -> dict[str, Any] | None:
    """Return a body with the required keys and no others."""
    body: dict[str, Any] = {}
    for wanted in operation.required:
        *above, last = wanted.split("|")[0].split(".")
        node = body
        for key in above:
            node = node.setdefault(key, {})
        node[last] = _value(operation, last)
    body.update(dict.fromkeys(operation.nullable))  # such keys are at the top
    return body or None


def headers_of(operation: Operation) -> dict[str, str]:
    """Return the headers that only this operation needs."""
    values = {"Persona-Relay-Secret": "secret-of-relay_sim000001", "Authorization": "PrivateToken token=c2ltdWxhdGVk"}
    return {name: values[name] for name in operation.headers}


def query_of(operation: Operation) -> dict[str, str]:
    """Return the query parameters that must be there."""
    return {name: QUERIES[name] for name in operation.required_query}


def prepare(operation: Operation, control: SimulatorControl) -> None:
    """Put things into the states that the call needs."""
    for object_id, status in STATES.get(operation.operation_id, {}).items():
        control.change_object(object_id, status)
    changes_verification = operation.method in ("POST", "PATCH") and operation.path_parameters == ("verification-id",)
    if changes_verification and operation.path.startswith("/verification/"):
        control.change_object(path_of(operation)["verification-id"], "initiated")


def made_before(operation: Operation) -> list[str]:
    """Return the operations that make what the call is about."""
    needed = [BEFOREHAND[value][0] for value in path_of(operation).values() if value in BEFOREHAND]
    return [name for name in needed if name != operation.operation_id]


def _value(operation: Operation, key: str) -> Any:
    if operation.operation_id == "review-matches":
        return {"review-type": "all_records", "review-status": "no_match"}
    if key == "query":
        return _ITEM_VALUES.get(operation.operation_id, VALUES["query"])
    if key == "list-id":
        kind = operation.path.rsplit("/", 1)[1]
        plural = {"countries": "country", "email-addresses": "email_address", "ip-addresses": "ip_address"}
        name = plural.get(kind, kind.removesuffix("s").replace("-", "_"))
        return f"lst_{name}" if name not in ("string", "field", "face", "device_fingerprint") else "lst_name"
    if key == "tag-name" and operation.path.endswith("set-tags"):
        return ["vip", "batch"]
    return VALUES[key]
