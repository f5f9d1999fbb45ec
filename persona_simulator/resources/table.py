"""Which operation of the catalogue is served by what, and which permission it needs.

Cases, case templates and rate limits are served by the environment itself; everything else is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from airflow_provider_persona.api.operations import Operation, catalogue
from persona_simulator.call import Call
from persona_simulator.problems import not_found
from persona_simulator.resources import (
    checks,
    inquiries,
    keys,
    lists,
    logs,
    partners,
    people,
    workflows,
)
from persona_simulator.resources.acts import printing, reading, redacting, tagging
from persona_simulator.resources.holdings import Holdings, Outcomes
from persona_simulator.resources.listing import Act, list_events, listing, searching

OWN_RESOURCES: Final = frozenset({"cases", "case-templates", "rate-limits"})
"""Resources that the environment serves itself."""

_PERMISSION_OF: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cases": "case",
        "case-templates": "case_template",
        "accounts": "account",
        "account-types": "account_type",
        "inquiries": "inquiry",
        "inquiry-sessions": "inquiry",
        "inquiry-templates": "inquiry",
        "reports": "report",
        "verifications": "verification",
        "transactions": "txn",
        "transaction-types": "txn",
        "documents": "document",
        "lists": "list",
        "list-items": "list",
        "importers": "importer",
        "events": "event",
        "webhooks": "webhook",
        "api-keys": "api_key",
        "api-logs": "api_log",
        "user-audit-logs": "user_audit_log",
    }
)
"""Resource -> first part of the permission that its operations need; for the others Persona names none."""


def permission_of(operation: Operation) -> str | None:
    """Return the permission that a key needs for an operation, None for none."""
    if operation.operation_id == "create-a-workflow-run":
        return "workflow.trigger"
    if operation.resource == "suspicious-activity-reports":
        return "filing.write"
    group = _PERMISSION_OF.get(operation.resource)
    if group is None:
        return None
    reads = operation.method == "GET" or operation.path.endswith("/search")
    return f"{group}.{'read' if reads else 'write'}"


def download(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `GET /files/{file-token}/{filename}`."""
    file = holdings.files.get(call.subject)
    if file is None:
        raise not_found()
    return Outcomes(b"".join(file.blocks()), content_type=file.content_type)


_LISTS: Final[Mapping[str, str]] = {
    "list-all-accounts": "account",
    "list-all-inquiries": "inquiry",
    "list-all-inquiry-sessions": "inquiry-session",
    "list-all-inquiry-templates": "inquiry-template",
    "list-all-inquiry-template-versions": "inquiry-template-version",
    "list-all-reports": "report",
    "list-all-transactions": "transaction",
    "list-all-lists": "list",
    "list-all-importers": "importer",
    "list-all-workflow-runs": "workflow-run",
    "list-all-workflow-versions": "workflow-version",
    "list-all-webhooks": "webhook",
    "list-all-api-keys": "api-key",
    "list-all-user-audit-logs": "user-audit-log",
    "list-all-devices": "device",
    "list-all-theme-sets": "theme-set",
    "list-all-connect-connections": "connect/connection",
    "list-all-share-tokens": "connect/share-token",
}
_READS: Final[Mapping[str, str]] = {
    "retrieve-an-account": "account",
    "retrieve-an-account-type": "account-type",
    "retrieve-an-inquiry": "inquiry",
    "retrieve-an-inquiry-session": "inquiry-session",
    "retrieve-an-inquiry-template": "inquiry-template",
    "retrieve-a-report": "report",
    "retrieve-a-verification": "verification",
    "retrieve-a-transaction": "transaction",
    "retrieve-a-transaction-type": "transaction-type",
    "retrieve-a-document": "document",
    "retrieve-a-list": "list",
    "retrieve-an-importer": "importer",
    "retrieve-a-workflow-run": "workflow-run",
    "retrieve-a-graph-query": "graph-query",
    "retrieve-an-api-key": "api-key",
    "retrieve-a-user-audit-log": "user-audit-log",
    "retrieve-a-device": "device",
    "retrieve-a-theme-set": "theme-set",
    "retrieve-a-connect-connection": "connect/connection",
    "retrieve-a-share-token": "connect/share-token",
}
_NAMED: Final[Mapping[str, Act]] = {
    "create-an-account": people.create_account,
    "update-an-account": people.update_account,
    "redact-an-account": redacting("account"),
    "search-accounts": searching("account"),
    "accounts-add-objects": people.attaching("account", add=True),
    "accounts-remove-objects": people.attaching("account", add=False),
    "accounts-add-relation": people.relating("account", add=True),
    "accounts-remove-relation": people.relating("account", add=False),
    "accounts-list-all-relations": people.list_relations,
    "consolidate-into-an-account": people.consolidate,
    "runAccountAction": people.run_action,
    "create-a-transaction": people.create_transaction,
    "update-a-transaction": people.update_transaction,
    "redact-a-transaction": redacting("transaction"),
    "redact-transaction-biometrics": people.redact_biometrics,
    "create-a-transaction-label": people.label_transaction,
    "transactions-add-relation": people.relating("transaction", add=True),
    "transactions-remove-relation": people.relating("transaction", add=False),
    "create-a-transaction-type": partners.create_transaction_type,
    "create-an-inquiry": inquiries.create_inquiry,
    "search-inquiries": searching("inquiry"),
    "update-an-inquiry": inquiries.update_inquiry,
    "redact-an-inquiry": redacting("inquiry"),
    "approve-an-inquiry": inquiries.approve,
    "decline-an-inquiry": inquiries.decline,
    "mark-an-inquiry-for-review": inquiries.mark_for_review,
    "expire-an-inquiry": inquiries.expire,
    "resume-an-inquiry": inquiries.resume,
    "generate-a-one-time-link": inquiries.link_to_inquiry,
    "inquiries-perform-simulate-actions": inquiries.simulate,
    "inquiries-set-simulate-stubs": inquiries.set_stubs,
    "print-an-inquiry-pdf": printing("inquiry", frozenset({"created"})),
    "create-an-inquiry-session": inquiries.create_session,
    "expire-an-inquiry-session": inquiries.expire_session,
    "expire-inquiry-sessions": inquiries.expire_all_sessions,
    "generate-a-one-time-link-for-an-inquiry-session": inquiries.link_to_session,
    "retrieve-inquiry-template-translations": inquiries.read_translations,
    "import-inquiry-template-translations": inquiries.write_translations,
    "create-a-report": checks.create_report,
    "business-lookup-report-1": checks.create_report,
    "redact-a-report": redacting("report"),
    "list-report-history": checks.list_history,
    "dismiss-matches": checks.dismiss,
    "review-matches": checks.review_matches,
    "report-action-re-run-report": checks.run_again,
    "report-action-pause-continuous-monitoring": checks.monitoring(on=False),
    "report-action-resume-continuous-monitoring": checks.monitoring(on=True),
    "print-report-pdf": printing("report", frozenset({"pending"})),
    "redact-a-verification": redacting("verification"),
    "print-a-verification-as-pdf": printing("verification"),
    "investigation-lock-a-verification": checks.locking(on=True),
    "investigation-unlock-a-verification": checks.locking(on=False),
    "report-a-government-id-verification": checks.reporting_verification,
    "archive-a-list": lists.archive_list,
    "import-an-account": lists.import_accounts,
    "create-a-workflow-run": workflows.trigger,
    "create-a-graph-query": workflows.create_graph_query,
    "list-all-events": list_events,
    "retrieve-an-event": logs.read_event,
    "list-all-api-logs": logs.list_api_logs,
    "retrieve-an-api-log": logs.read_api_log,
    "create-a-webhook": keys.create_webhook,
    "retrieve-a-webhook": keys.read_webhook,
    "update-a-webhook": keys.update_webhook,
    "clone-a-webhook": keys.clone_webhook,
    "enable-a-webhook": keys.switching("enabled"),
    "disable-a-webhook": keys.switching("disabled"),
    "archive-a-webhook": keys.switching("archived"),
    "rotate-a-webhook-secret": keys.rotate_secret,
    "rotate-a-webhook-secret-old-path": keys.rotate_secret,
    "create-an-api-key": keys.create_key,
    "update-an-api-key": keys.update_key,
    "clone-api-key": keys.clone_key,
    "expire-an-api-key": keys.expire_key,
    "client-tokens-add-allowed-resources": keys.allowing(add=True),
    "client-tokens-remove-allowed-resources": keys.allowing(add=False),
    "create-authorization": keys.authorize,
    "create-access-token": keys.token,
    "create-a-connect-connection": partners.create_connection,
    "update-a-connect-connection": partners.update_connection,
    "deactivate-a-connect-connection": partners.deactivate_connection,
    "reactivate-a-connect-connection": partners.reactivate_connection,
    "create-a-share-token": partners.create_share_token,
    "expire-share-token": partners.expire_share_token,
    "redeem-share-token": partners.redeem_share_token,
    "create-a-relay": partners.create_relay,
    "request-a-relay-challenge": partners.challenge_relay,
    "generate-a-relay-claim": partners.claim_relay,
    "create-a-privacy-pass": partners.privacy_pass,
    "create-a-theme-set": partners.create_theme_set,
    "update-a-theme-set": partners.update_theme_set,
    "archive-a-theme-set": partners.archive_theme_set,
    "create-suspicious-activity-report": partners.create_sar,
    "update-suspicious-activity-report": partners.update_sar,
    "add-objects-to-suspicious-activity-report": people.attaching("sar", add=True),
    "download-a-file": download,
}
_TAGGED: Final[Mapping[str, str]] = {
    "accounts": "account",
    "inquiries": "inquiry",
    "reports": "report",
    "transactions": "transaction",
}
_PLURALS: Final[Mapping[str, str]] = {"countries": "country", "email-addresses": "email-address"} | {
    "ip-addresses": "ip-address",
    "database-businesses": "database-business",
}


def _kind(plural: str) -> str:
    return _PLURALS.get(plural, plural.removesuffix("s"))


def _by_path(operation: Operation) -> Act | None:
    """Return what serves an operation of the families with the kind in their paths."""
    group, plural, *rest = operation.path.strip("/").split("/")
    if group in _TAGGED and rest and rest[-1] in ("add-tag", "remove-tag", "set-tags"):
        return tagging(_TAGGED[group], rest[-1].partition("-")[0])
    if group == "importer":
        return lists.importing_items(_kind(rest[0]))
    serving = _OF_KINDS.get(group, {}).get((operation.method, *rest[1:]))
    return serving(_kind(plural)) if serving else None


_OF_KINDS: Final[Mapping[str, Mapping[tuple[str, ...], Callable[[str], Act]]]] = {
    "list": {("POST",): lists.creating_list},
    "list-item": {
        ("POST",): lists.creating_item,
        ("GET",): lambda kind: reading("list-item", f"list-item/{kind}"),
        ("DELETE",): lists.archiving_item,
    },
    "document": {
        ("POST",): checks.creating_document,
        ("GET",): lambda kind: reading("document", f"document/{kind}"),
        ("PATCH",): checks.updating_document,
        ("POST", "submit"): checks.submitting_document,
    },
    "verification": {
        ("POST",): checks.creating_verification,
        ("GET",): lambda kind: reading("verification", f"verification/{kind}"),
        ("PATCH",): checks.updating_verification,
        ("POST", "submit"): checks.submitting_verification,
        ("POST", "confirm"): checks.confirming_verification,
        ("POST", "send-confirmation-code"): checks.sending_code,
    },
}
"""First part of a path -> method and action -> what makes, of a kind, what serves it."""


@cache
def acts() -> Mapping[str, Act]:
    """Return what serves each operation, by the operation's id.

    :raises KeyError: when the catalogue has an operation that nothing serves.
    """
    table: dict[str, Act] = {name: listing(family) for name, family in _LISTS.items()}
    table.update({name: reading(family) for name, family in _READS.items()})
    table.update(_NAMED)
    for operation in catalogue().values():
        if operation.resource in OWN_RESOURCES or operation.operation_id in table:
            continue
        act = _by_path(operation) if operation.path.count("/") > 1 else None
        if act is None:
            raise KeyError(operation.operation_id)
        table[operation.operation_id] = act
    return table
