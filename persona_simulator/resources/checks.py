"""Reports, verifications and documents: checks that are begun, handed in, and end in the background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from persona_simulator.call import Call
from persona_simulator.clock import timestamp
from persona_simulator.problems import RefusedError, bad_request, unprocessable
from persona_simulator.resources.acts import (
    ATTRIBUTES,
    changing,
    creating,
    existing,
    given,
    stored,
)
from persona_simulator.resources.answers import object_payload
from persona_simulator.resources.holdings import Change, Holdings, Outcomes, refuse_redacted
from persona_simulator.resources.listing import Act, page_of
from persona_simulator.resources.seeds import reference
from persona_simulator.resources.things import Thing

_FLAT: Final[Mapping[str, tuple[str, ...]]] = {
    "report/watchlist": ("name-first", "name-middle", "name-last", "term", "birthdate", "country-code"),
    "report/adverse-media": ("name-first", "name-middle", "name-last", "term", "birthdate", "country-code"),
    "report/business-adverse-media": ("term",),
    "report/business-watchlist": (),
    "report/email-address": ("email-address",),
    "report/phone-number": ("phone-number",),
    "report/synthetic": (),
    "report/address-lookup": (
        "addressee",
        "address-street-1",
        "address-street-2",
        "address-city",
        "address-subdivision",
        "address-postal-code",
    ),
    "report/profile": (
        "name-first",
        "name-last",
        "birthdate",
        "social-security-number",
        "address-street-1",
        "address-street-2",
        "address-city",
        "address-subdivision",
        "address-postal-code",
        "phone-number",
    ),
    "report/social-media": (
        "name-first",
        "name-last",
        "birthdate",
        "phone-number",
        "email-address",
        "address-city",
        "address-subdivision",
    ),
}
"""Types of report that show their query's keys among their attributes, and which; the others show it as `query`."""
_NESTED: Final[Mapping[str, Mapping[str, Any]]] = {
    "report/business-lookup": {"result": None},
    "report/crypto-address-watchlist": {"result": None},
    "report/politically-exposed-person": {"result": None, "ignore-list": []},
    "report/profile-non-authoritative": {"result": None},
    "report/business-registrations-lookup": {"result": {}},
    "report/business-associated-persons": {"associated-persons": [], "ownership-information": {"owners": []}},
    "report/integration/sentilink-scores": {"result": {}},
}
"""The types that show their query as `query`, with what they show beside it."""


def create_report(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /reports`: pending first."""
    query = call.need(dict, *ATTRIBUTES, "query")
    kind = call.may(str, "data", "type") or "report/business-lookup"
    if kind not in _FLAT and kind not in _NESTED:
        raise unprocessable(f"{kind} is not a type of report", "/data/type")
    template = call.may(str, *ATTRIBUTES, "report-template-id")
    account = existing(holdings, "account", call, *ATTRIBUTES, "account-id")
    if kind in _FLAT:
        shown = {name: query[name] for name in _FLAT[kind] if name in query}
    else:
        shown = {"query": query, **_NESTED[kind]}
    links: dict[str, Any] = {"account": account.reference if account else None}
    if template is not None:
        links["report-template"] = reference("report-template", template)
    report = holdings.make(kind, call.now, shown, links)
    report.hidden["reference-id"] = call.may(str, *ATTRIBUTES, "reference-id")
    _run(holdings, report, call.now, "api")
    return Outcomes(object_payload(holdings, report, call), changes=[Change(report, None, ("created",), "submitted")])


def run_again(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /reports/{id}/run`."""
    report = holdings.find("report", call.subject)
    refuse_redacted(report)
    if report.status == "pending":
        raise RefusedError(409, "Conflict", "Report is still pending")
    before = report.status
    report.set({"status": "pending", "completed-at": None})
    _run(holdings, report, call.now, "manual")
    return Outcomes(object_payload(holdings, report, call), changes=[Change(report, before, ("status",), "submitted")])


def _run(holdings: Holdings, report: Thing, now: float, why: str) -> None:
    def outcome(ended: float) -> Mapping[str, Any]:
        run.update({"completed-at": timestamp(ended), "matches": int(report.attributes["has-match"])})
        return {"status": "ready", "completed-at": timestamp(ended)}

    run: dict[str, Any] = {"type": "run", "run-type": why, "completed-at": None, "matches": None}
    report.hidden.setdefault("history", []).append(run)
    holdings.begin_work(report, now, outcome, "ready")


def _noted(report: Thing, what: str, now: float) -> None:
    entry = {"type": what, "created-at": timestamp(now), "creator-name": "API key"}
    report.hidden.setdefault("history", []).append(entry)


def list_history(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `GET /reports/{id}/history`, newest first; its entries have no ids, so cursors are their places."""
    report = holdings.find("report", call.subject)
    entries = list(enumerate(report.hidden.get("history", [])))[::-1]
    return page_of(call, entries, lambda entry: f"entry_{entry[0]}", lambda entry: entry[1])


def dismiss(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /reports/{id}/dismiss`: the matches count no more. In adverse media each has to be named."""
    report = holdings.find("report", call.subject)
    refuse_redacted(report)
    named = ("entity-id", "dismiss-type") if report.kind.endswith("adverse-media") else ()
    for key in ("reason", *named):
        call.need(str, *ATTRIBUTES, key)
    parts = report.set({"has-match": False})
    if parts:
        _noted(report, "dismiss", call.now)
    changes = [Change(report, report.status, parts, "dismissed")]
    return Outcomes(object_payload(holdings, report, call), changes=changes)


def review_matches(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /reports/{id}/review-matches`."""
    report = holdings.find("report", call.subject)
    refuse_redacted(report)
    review = call.may(dict, *ATTRIBUTES) or call.may(dict, "meta")
    if not review:
        raise bad_request("data.attributes is missing")
    parts = ("review",) if report.hidden.get("review") != review else ()
    report.hidden["review"] = review
    if parts:
        _noted(report, "review", call.now)
    return Outcomes(object_payload(holdings, report, call), changes=[Change(report, report.status, parts)])


def monitoring(*, on: bool) -> Act:
    """Return what serves pausing or resuming the monitoring of a report's subject."""

    def doing(_holdings: Holdings, report: Thing, call: Call) -> Mapping[str, Any]:
        if report.attributes["is-recurring"] is not on:
            _noted(report, "resume" if on else "pause", call.now)
        return {"is-recurring": on}

    return changing("report", doing, None)


def _verification_inputs(call: Call) -> dict[str, Any]:
    attributes = call.may(dict, *ATTRIBUTES) or {}
    hidden = ("verification-template-id", "confirmation-code")
    return {
        name: value for name, value in attributes.items() if name not in hidden and not isinstance(value, dict | list)
    }


def creating_verification(kind: str) -> Act:
    """Return what serves the beginning of a verification; `meta.debug-forced-status` decides how it will end."""

    def attributes(_holdings: Holdings, call: Call) -> Mapping[str, Any]:
        call.need(str, *ATTRIBUTES, "verification-template-id")
        return _verification_inputs(call)

    def links(_holdings: Holdings, call: Call) -> Mapping[str, Any]:
        template = call.need(str, *ATTRIBUTES, "verification-template-id")
        return {"verification-template": reference("verification-template", template)}

    def after(_holdings: Holdings, verification: Thing, call: Call) -> None:
        verification.hidden["ends"] = call.may(str, "meta", "debug-forced-status") or "passed"

    return creating(f"verification/{kind}", attributes, links, after=after)


def updating_verification(kind: str) -> Act:
    """Return what serves a correction of a verification that has not been handed in."""

    def doing(_holdings: Holdings, verification: Thing, call: Call) -> Mapping[str, Any]:
        _still_open(verification, "initiated", "requires_retry")
        return _verification_inputs(call)

    return changing("verification", doing, None, kind=f"verification/{kind}")


def submitting_verification(kind: str) -> Act:
    """Return what serves the handing in of a verification: its checks end in the background."""

    def doing(holdings: Holdings, verification: Thing, call: Call) -> Mapping[str, Any]:
        for name in ("name-first", "name-last") if kind == "phone-number" else ():
            call.need(str, *ATTRIBUTES, name)
        _still_open(verification, "initiated", "confirmed", "requires_retry")
        ends = verification.hidden.get("ends", "passed")

        def outcome(ended: float) -> Mapping[str, Any]:
            return {"status": ends, "completed-at": timestamp(ended), "completed-at-ts": int(ended)}

        holdings.begin_work(verification, call.now, outcome, ends.replace("_", "-"))
        return {"status": "submitted", "submitted-at": timestamp(call.now), "submitted-at-ts": int(call.now)}

    return changing("verification", doing, "submitted", kind=f"verification/{kind}")


def confirming_verification(kind: str) -> Act:
    """Return what serves a confirmation; the code 000000 is wrong, any other is right."""

    def doing(_holdings: Holdings, verification: Thing, call: Call) -> Mapping[str, Any]:
        code = call.need(str, *ATTRIBUTES, "confirmation-code")
        _still_open(verification, "initiated", "submitted", "requires_retry")
        if code == "000000":
            raise unprocessable("Confirmation code is incorrect", "/data/attributes/confirmation-code")
        return {"status": "confirmed"}

    return changing("verification", doing, None, kind=f"verification/{kind}")


def sending_code(kind: str) -> Act:
    """Return what serves the sending of a code: counted, an effect each time. Answers show the code from then on."""

    def act(holdings: Holdings, call: Call) -> Outcomes:
        verification = holdings.find("verification", call.subject, f"verification/{kind}")
        _still_open(verification, "initiated", "requires_retry")
        verification.set({**_verification_inputs(call), "confirmation-code": "271828"})
        verification.hidden["codes"] = verification.hidden.get("codes", 0) + 1
        changes = [Change(verification, verification.status, ("code",))]
        return Outcomes(object_payload(holdings, verification, call), changes=changes)

    return act


def reporting_verification(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /verification/government-ids/{id}/report`."""
    verification = holdings.find("verification", call.subject, "verification/government-id")
    changes = [Change(verification, verification.status, ("reported",))]
    return Outcomes(object_payload(holdings, verification, call), changes=changes)


def locking(*, on: bool) -> Act:
    """Return what serves the locking or unlocking of a verification against redaction."""

    def act(holdings: Holdings, call: Call) -> Outcomes:
        verification = holdings.find("verification", call.subject)
        parts = ("lock",) if bool(verification.hidden.get("locked")) is not on else ()
        verification.hidden["locked"] = on
        changes = [Change(verification, verification.status, parts)]
        return Outcomes(object_payload(holdings, verification, call), changes=changes)

    return act


def _document_inputs(kind: str, holdings: Holdings, document: Thing | None, call: Call) -> dict[str, Any]:
    files = call.may(list, *ATTRIBUTES, "files")
    changes: dict[str, Any] = given(call, "kind", "fields")
    if kind == "generic":
        had = document.attributes["files"] if document else []
        changes["files"] = [*had, *(stored(holdings, each, "/data/attributes/files") for each in files or [])]
        return changes if document else {"fields": {}, **changes}
    for side in ("front-photo", "back-photo"):
        photo = call.may(dict, *ATTRIBUTES, side)
        data = photo.get("data") if photo else None
        if data:
            changes[side] = stored(holdings, data[0] if isinstance(data, list) else data, f"/data/attributes/{side}")
    return changes


def creating_document(kind: str) -> Act:
    """Return what serves the beginning of a document."""
    must = "kind" if kind == "generic" else "inquiry-id"

    def attributes(holdings: Holdings, call: Call) -> Mapping[str, Any]:
        call.need(str, *ATTRIBUTES, must)
        return _document_inputs(kind, holdings, None, call)

    def links(holdings: Holdings, call: Call) -> Mapping[str, Any]:
        inquiry = existing(holdings, "inquiry", call, *ATTRIBUTES, "inquiry-id")
        return {"inquiry": inquiry.reference if inquiry else None}

    return creating(f"document/{kind}", attributes, links)


def updating_document(kind: str) -> Act:
    """Return what serves a change of a document that has not been handed in; files are added to those it has."""

    def doing(holdings: Holdings, document: Thing, call: Call) -> Mapping[str, Any]:
        _still_open(document, "initiated")
        return _document_inputs(kind, holdings, document, call)

    return changing("document", doing, None, kind=f"document/{kind}")


def submitting_document(kind: str) -> Act:
    """Return what serves the handing in of a document."""

    def doing(holdings: Holdings, document: Thing, call: Call) -> Mapping[str, Any]:
        _still_open(document, "initiated")

        def outcome(ended: float) -> Mapping[str, Any]:
            return {"status": "processed", "processed-at": timestamp(ended), "processed-at-ts": int(ended)}

        holdings.begin_work(document, call.now, outcome, "processed")
        return {"status": "submitted"}

    return changing("document", doing, "submitted", kind=f"document/{kind}")


def _still_open(thing: Thing, *statuses: str) -> None:
    if thing.status not in statuses:
        raise RefusedError(409, "Conflict", f"{thing.kind.capitalize()} is {thing.status}")
