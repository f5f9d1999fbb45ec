"""Accounts and transactions: reference ids that are taken once, relations, attached objects, consolidation, actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from persona_simulator.call import Call
from persona_simulator.problems import RefusedError, bad_request, not_found, unprocessable
from persona_simulator.resources.acts import (
    ATTRIBUTES,
    changing,
    given,
    given_fields,
    referring,
    stored,
)
from persona_simulator.resources.answers import object_payload, thing_object
from persona_simulator.resources.holdings import Change, Holdings, Outcomes, touch
from persona_simulator.resources.listing import Act, page_of
from persona_simulator.resources.seeds import ACCOUNT_TYPE, WORKFLOW, typed_value
from persona_simulator.resources.things import Thing
from persona_simulator.resources.workflows import begin_run

_TOP_LEVEL_FIELDS: Final = (
    "birthdate",
    "name-first",
    "name-middle",
    "name-last",
    "phone-number",
    "email-address",
    "address-street-1",
    "address-street-2",
    "address-city",
    "address-subdivision",
    "address-postal-code",
)


def create_account(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /accounts`: 201, 200 when an upsert found one, 409 when the reference id is taken."""
    attributes, known = _account_attributes(holdings, None, call), _same_reference(holdings, "account", None, call)
    if known is not None:
        if call.may(str, "meta", "upsert-by") != "reference-id":
            raise RefusedError(409, "Conflict", "Account already exists with this reference ID")
        before, parts = known.status, known.set(_account_attributes(holdings, known, call))
        touch(known, parts, call.now)
        changes = [Change(known, before, parts, "updated-fields")]
        return Outcomes(object_payload(holdings, known, call), 200, changes=changes)
    kind = call.may(str, *ATTRIBUTES, "account-type-id") or ACCOUNT_TYPE
    if not kind.startswith("acttp_"):
        raise not_found("data.attributes.account_type_id is not found")
    account = holdings.make("account", call.now, attributes, {"account-type": referring("account-type", kind)})
    changes = [Change(account, None, ("created",), "created")]
    return Outcomes(object_payload(holdings, account, call), 201, changes=changes)


def _update_account(holdings: Holdings, thing: Thing, call: Call) -> Mapping[str, Any]:
    if _same_reference(holdings, "account", thing, call) is not None:
        raise RefusedError(409, "Conflict", "Account already exists with this reference ID")
    return _account_attributes(holdings, thing, call)


def create_transaction(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /transactions`: 201, 409 when the reference id is taken."""
    kind = call.need(str, *ATTRIBUTES, "transaction-type-id")
    if not kind.startswith("txntp_"):
        raise not_found("data.attributes.transaction_type_id is not found")
    if _same_reference(holdings, "transaction", None, call) is not None:
        raise RefusedError(409, "Record not unique", "Transaction already exists with this reference ID")
    attributes = {**given(call, "reference-id", "tags"), "fields": given_fields(None, call)}
    links = {"transaction-type": referring("transaction-type", kind)}
    transaction = holdings.make("transaction", call.now, attributes, links)
    changes = [Change(transaction, None, ("created",), "created")]
    return Outcomes(object_payload(holdings, transaction, call), 201, changes=changes)


def _update_transaction(holdings: Holdings, thing: Thing, call: Call) -> Mapping[str, Any]:
    if _same_reference(holdings, "transaction", thing, call) is not None:
        raise RefusedError(409, "Record not unique", "Transaction already exists with this reference ID")
    if (label := call.may(str, *ATTRIBUTES, "label")) is not None:
        _label(thing, label)
    changes = given(call, "status", "reference-id", "tags")
    return changes if call.find(*ATTRIBUTES, "fields") is None else {**changes, "fields": given_fields(thing, call)}


def label_transaction(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /transactions/{id}/label`."""
    thing = holdings.find("transaction", call.subject)
    _label(thing, call.need(str, "meta", "label"))
    changes = [Change(thing, thing.status, ("label",), "labeled")]
    return Outcomes(object_payload(holdings, thing, call), changes=changes)


def redact_biometrics(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /transactions/{id}/redact-biometrics`; a second time it does nothing."""
    thing = holdings.find("transaction", call.subject)
    parts = () if thing.hidden.get("without-biometrics") else ("biometrics",)
    thing.hidden["without-biometrics"] = True
    return Outcomes(object_payload(holdings, thing, call), changes=[Change(thing, thing.status, parts)])


def consolidate(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /accounts/{id}/consolidate`: the accounts that were merged point at this one from then on."""
    target = holdings.find("account", call.subject)
    ids = call.texts("meta", "source-account-ids")
    if not ids:
        raise bad_request("meta.source_account_ids is missing")
    sources = [holdings.find("account", each) for each in ids]
    if target in sources:
        raise unprocessable("An account can not be consolidated into itself", "/meta/source-account-ids")
    changes = []
    for source in sources:
        new = source.hidden.get("consolidated-into") != target.thing_id
        source.hidden["consolidated-into"] = target.thing_id
        changes.append(Change(source, source.status, ("consolidated",) if new else (), "consolidated"))
    changes.append(Change(target, target.status, ("consolidated-with",), "consolidated-with"))
    return Outcomes(object_payload(holdings, target, call), changes=changes)


def run_action(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /accounts/{id}/run-action`, which starts a workflow run."""
    account = holdings.find("account", call.subject)
    call.need(str, "data", "account-action-id")
    call.may(dict, "data", "parameters")
    run = begin_run(holdings, WORKFLOW, call.now)
    meta = {"workflow-run-id": run.thing_id}
    return Outcomes(object_payload(holdings, account, call, meta), changes=[Change(run, None, ("created",), "created")])


def relating(family: str, *, add: bool) -> Act:
    """Return what serves the adding or removing of a relation."""
    event = "added-relation" if add else "removed-relation"

    def act(holdings: Holdings, call: Call) -> Outcomes:
        thing = holdings.find(family, call.subject)
        key, target = call.need(str, "meta", "relation-schema-key"), call.need(str, "meta", "target-object-id")
        if holdings.look_up(target) is None:
            raise not_found("meta.target_object_id is not found")
        relations = thing.hidden.setdefault("relations", {}).setdefault(key, {})
        new = (target not in relations) if add else (target in relations)
        if add:
            relations.setdefault(target, call.now)
        else:
            relations.pop(target, None)
        changes = [Change(thing, thing.status, ("relations",) if new else (), event)]
        return Outcomes(object_payload(holdings, thing, call), changes=changes)

    return act


def list_relations(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `GET /accounts/{id}/relations`."""
    account, key = holdings.find("account", call.subject), call.query.get("filter[key]")
    if not key:
        raise bad_request("filter.key is missing")
    related = [holdings.look_up(each) for each in reversed(account.hidden.get("relations", {}).get(key, {}))]
    found = [thing for thing in related if thing is not None]
    return page_of(call, found, lambda thing: thing.thing_id, lambda thing: thing_object(holdings, thing, call))


def attaching(family: str, *, add: bool) -> Act:
    """Return what serves the attaching or detaching of objects."""

    def act(holdings: Holdings, call: Call) -> Outcomes:
        thing, ids = holdings.find(family, call.subject), call.texts("meta", "object-ids")
        if ids is None:
            raise bad_request("meta.object_ids is missing")
        had: list[str] = thing.hidden.get("objects", [])
        if add and any(holdings.look_up(each) is None and each not in holdings.world.cases for each in ids):
            raise not_found("meta.object_ids is not found")
        has = (
            had + [each for each in dict.fromkeys(ids) if each not in had] if add else [e for e in had if e not in ids]
        )
        thing.hidden["objects"] = has
        changes = [Change(thing, thing.status, ("objects",) if has != had else (), "updated")]
        return Outcomes(object_payload(holdings, thing, call), changes=changes)

    return act


update_account = changing("account", _update_account, "updated-fields", redacted_too=True)
update_transaction = changing("transaction", _update_transaction, "updated-fields")


def _account_attributes(holdings: Holdings, thing: Thing | None, call: Call) -> dict[str, Any]:
    changes = given(call, "reference-id", "tags", "account-status")
    photo = call.may(dict, *ATTRIBUTES, "selfie-photo")
    if photo is not None:
        stored(holdings, photo.get("data"), "/data/attributes/selfie-photo")
    fields = given_fields(thing, call)
    if not call.style.spare:
        beside = given(call, *_TOP_LEVEL_FIELDS)
        fields.update({name: typed_value(value) for name, value in beside.items()})
    if fields or thing is None:
        changes["fields"] = fields
    return changes


def _same_reference(holdings: Holdings, family: str, but: Thing | None, call: Call) -> Thing | None:
    """Return another thing of the family with the reference id that the body gives."""
    wanted = call.may(str, *ATTRIBUTES, "reference-id")
    if wanted is None:
        return None
    others = (each for each in holdings.shelf(family).order if each is not but)
    return next((each for each in others if each.attributes.get("reference-id") == wanted), None)


def _label(thing: Thing, label: str) -> None:
    thing.hidden["label"] = label
    thing.relationships["transaction-label"] = {"type": "transaction-label", "id": f"txnlbl_{thing.thing_id[4:]}"}
