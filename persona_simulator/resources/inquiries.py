"""Inquiries and their sessions: their states, links that let a person in, and the sandbox's simulated steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from persona_simulator.call import Call
from persona_simulator.clock import timestamp
from persona_simulator.problems import RefusedError, bad_request, not_found
from persona_simulator.resources.acts import (
    ATTRIBUTES,
    changing,
    creating,
    existing,
    given,
    given_fields,
    moving,
    referring,
)
from persona_simulator.resources.answers import object_payload, thing_object
from persona_simulator.resources.holdings import Change, Holdings, Outcomes, refuse_redacted, touch
from persona_simulator.resources.seeds import INQUIRY_TEMPLATE, TEMPLATE_VERSION, typed_value
from persona_simulator.resources.things import Thing

_DAY: Final = 86_400.0
_UNDECIDED: Final = frozenset({"created", "pending", "completed", "failed", "needs_review"})
_TEMPLATES: Final[Mapping[str, str]] = {
    "inquiry-template-id": "itmpl_",
    "template-id": "tmpl_",
    "inquiry-template-version-id": "itmplv_",
}
_STEPS: Final[Mapping[str, tuple[str, str, str]]] = {
    "start_inquiry": ("pending", "started-at", "started"),
    "complete_inquiry": ("completed", "completed-at", "completed"),
    "fail_inquiry": ("failed", "failed-at", "failed"),
    "expire_inquiry": ("expired", "expired-at", "expired"),
    "mark_for_review_inquiry": ("needs_review", "marked-for-review-at", "marked-for-review"),
    "approve_inquiry": ("approved", "decisioned-at", "approved"),
    "decline_inquiry": ("declined", "decisioned-at", "declined"),
}
"""Simulated step -> the state that it leads to, the attribute that says when, and the event."""


def _inquiry(_holdings: Holdings, call: Call) -> Mapping[str, Any]:
    named = given(call, *_TEMPLATES)
    if not any(named.values()):
        raise bad_request("data.attributes.inquiry_template_id is missing")
    for name, value in named.items():
        if value is not None and not str(value).startswith(_TEMPLATES[name]):
            raise not_found(f"data.attributes.{name.replace('-', '_')} is not found")
    lifetime = call.find("meta", "expiration-after-create-interval-seconds") or _DAY
    plain = given(call, "reference-id", "note", "tags")
    return {**plain, "fields": given_fields(None, call), "expires-at": timestamp(call.now + float(lifetime))}


def _inquiry_links(holdings: Holdings, call: Call) -> Mapping[str, Any]:
    account = existing(holdings, "account", call, *ATTRIBUTES, "account-id")
    if account is None and call.may(bool, "meta", "auto-create-account"):
        reference = call.may(str, "meta", "auto-create-account-reference-id")
        account = holdings.make("account", call.now, {"reference-id": reference})
    template = call.may(str, *ATTRIBUTES, "inquiry-template-id")
    version = call.may(str, *ATTRIBUTES, "inquiry-template-version-id")
    old = call.may(str, *ATTRIBUTES, "template-id")
    return {
        "account": account.reference if account else None,
        "inquiry-template": referring("inquiry-template", template or (INQUIRY_TEMPLATE if version else None)),
        "inquiry-template-version": referring("inquiry-template-version", version or (template and TEMPLATE_VERSION)),
        "template": referring("template", old),
    }


def _after_creation(holdings: Holdings, inquiry: Thing, call: Call) -> Mapping[str, Any]:
    meta: dict[str, Any] = dict.fromkeys(("session-token", "one-time-link", "one-time-link-short"))
    if call.may(bool, "meta", "auto-create-inquiry-session"):
        meta["session-token"] = _token(open_session(holdings, inquiry, call.now))
    if call.may(bool, "meta", "auto-create-one-time-link"):
        meta.update(_one_time_link(inquiry))
    return meta


create_inquiry = creating("inquiry", _inquiry, _inquiry_links, after=_after_creation)


def _update(_holdings: Holdings, thing: Thing, call: Call) -> Mapping[str, Any]:
    changes = given(call, "note", "tags")
    return changes if call.find(*ATTRIBUTES, "fields") is None else {**changes, "fields": given_fields(thing, call)}


update_inquiry = changing("inquiry", _update, None)
approve = moving("inquiry", "approved", _UNDECIDED, "approved", "decisioned-at", "reviewer-comment")
decline = moving("inquiry", "declined", _UNDECIDED, "declined", "decisioned-at", "reviewer-comment")
mark_for_review = moving(
    "inquiry",
    "needs_review",
    frozenset({"created", "pending", "completed", "failed"}),
    "marked-for-review",
    "marked-for-review-at",
)
expire = moving("inquiry", "expired", frozenset({"created", "pending"}), "expired", "expired-at")


def resume(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /inquiries/{id}/resume`: a new session, and only an expired inquiry is pending then."""
    inquiry = holdings.find("inquiry", call.subject)
    refuse_redacted(inquiry)
    if inquiry.status not in ("created", "pending", "expired"):
        raise RefusedError(409, "Conflict", f"Inquiry is {inquiry.status} and can not be resumed")
    before = inquiry.status
    status = "pending" if before == "expired" else before
    parts = inquiry.set({"status": status, "expires-at": timestamp(call.now + _DAY), "expired-at": None})
    touch(inquiry, parts, call.now)
    session = open_session(holdings, inquiry, call.now)
    meta = {"session-token": _token(session)}
    changes = [Change(inquiry, before, parts, "started"), Change(session, None, ("created",))]
    return Outcomes(object_payload(holdings, inquiry, call, meta), changes=changes)


def link_to_inquiry(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /inquiries/{id}/generate-one-time-link`."""
    inquiry = holdings.find("inquiry", call.subject)
    refuse_redacted(inquiry)
    changes = [Change(inquiry, inquiry.status, ("one-time-link",))]
    return Outcomes(object_payload(holdings, inquiry, call, _one_time_link(inquiry)), changes=changes)


def simulate(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /inquiries/{id}/perform-simulate-actions`: each step happens, whatever the state."""
    inquiry = holdings.find("inquiry", call.subject)
    refuse_redacted(inquiry)
    steps = [
        step.get("type") if isinstance(step, dict) else None for step in call.need(list, "meta", "simulate-actions")
    ]
    if unknown := [step for step in steps if step not in _STEPS and step not in _CREATIONS]:
        raise bad_request(f"meta.simulate_actions has an invalid type: {unknown[0]}")
    changes = []
    for step in steps:
        before = inquiry.status
        if step in _CREATIONS:
            made = holdings.make("verification/government-id", call.now, {"status": _CREATIONS[step]})
            had = inquiry.relationships["verifications"]
            inquiry.relationships["verifications"] = [*had, made.reference]
            changes.append(Change(made, None, ("created",), _CREATIONS[step]))
            continue
        status, stamp, event = _STEPS[str(step)]
        parts = inquiry.set({"status": status, stamp: timestamp(call.now)})
        touch(inquiry, parts, call.now)
        changes.append(Change(inquiry, before, parts, event))
    return Outcomes(object_payload(holdings, inquiry, call), changes=changes)


_CREATIONS: Final[Mapping[str | None, str]] = {
    "create_passed_verification": "passed",
    "create_failed_verification": "failed",
}


def _stubs(_holdings: Holdings, thing: Thing, call: Call) -> Mapping[str, Any]:
    stubs = call.need(dict, "meta", "fields-stubs")
    return {"fields": {**thing.attributes["fields"], **{name: typed_value(value) for name, value in stubs.items()}}}


set_stubs = changing("inquiry", _stubs, None)


def open_session(holdings: Holdings, inquiry: Thing, now: float) -> Thing:
    """Open a session of an inquiry and return it."""
    session = holdings.make("inquiry-session", now, None, {"inquiry": inquiry.reference})
    inquiry.relationships["sessions"] = [*inquiry.relationships.get("sessions", []), session.reference]
    return session


def create_session(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /inquiry-sessions`."""
    call.need(str, *ATTRIBUTES, "inquiry-id")
    inquiry = existing(holdings, "inquiry", call, *ATTRIBUTES, "inquiry-id")
    if inquiry is None:
        raise not_found()
    session = open_session(holdings, inquiry, call.now)
    return Outcomes(object_payload(holdings, session, call), changes=[Change(session, None, ("created",), "started")])


expire_session = moving("inquiry-session", "expired", frozenset({"new", "active", "canceled"}), "expired", "expired-at")


def expire_all_sessions(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /inquiry-sessions/expire-all`: a list without links of the sessions that were open."""
    ids = call.texts("meta", "inquiry-ids")
    if not ids:
        raise bad_request("meta.inquiry_ids is missing")
    changes = []
    for session in holdings.shelf("inquiry-session").order:
        inquiry = session.relationships["inquiry"]
        if inquiry and inquiry["id"] in ids and session.status != "expired":
            before = session.status
            parts = session.set({"status": "expired", "expired-at": timestamp(call.now)})
            changes.append(Change(session, before, parts, "expired"))
    return Outcomes({"data": [thing_object(holdings, each.thing, call) for each in changes]}, changes=changes)


def link_to_session(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /inquiry-sessions/{id}/generate-one-time-link`."""
    session = holdings.find("inquiry-session", call.subject)
    if session.status == "expired":
        raise RefusedError(409, "Conflict", "Inquiry session is expired")
    changes = [Change(session, session.status, ("one-time-link",))]
    return Outcomes(object_payload(holdings, session, call, _one_time_link(session)), changes=changes)


def _one_time_link(thing: Thing) -> dict[str, str]:
    count = thing.hidden["links"] = thing.hidden.get("links", 0) + 1
    code = f"{thing.thing_id}-{count}"
    return {
        "one-time-link": f"https://inquiry.simulator.invalid/verify?code={code}",
        "one-time-link-short": f"https://inquiry.simulator.invalid/{code}",
    }


def _token(session: Thing) -> str:
    return f"session-token-of-{session.thing_id}"


def read_translations(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `GET /inquiry-templates/{id}/translations`."""
    template = holdings.find("inquiry-template", call.subject)
    translations = template.hidden.get("translations", [])
    data = {
        "type": "inquiry-template-translations",
        "id": TEMPLATE_VERSION,
        "attributes": {"translations": translations},
    }
    return Outcomes({"data": data})


def write_translations(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /inquiry-templates/{id}/translations`, which takes over texts and shows the template's version."""
    template = holdings.find("inquiry-template", call.subject)
    texts = call.need(list, *ATTRIBUTES, "translations")
    place: Callable[[Any], tuple[Any, ...]] = lambda text: tuple(  # noqa: E731
        text.get(name) for name in ("step", "component", "attribute-name")
    )
    if not all(isinstance(text, dict) and all(place(text)) for text in texts):
        raise bad_request("data.attributes.translations must have step, component and attribute_name")
    kept = {place(text): text for text in template.hidden.get("translations", [])}
    kept.update({place(text): {"step-display-name": None, "locale-values": [], **text} for text in texts})
    new = list(kept.values())
    parts = ("translations",) if new != template.hidden.get("translations") else ()
    template.hidden["translations"] = new
    version = holdings.find("inquiry-template-version", TEMPLATE_VERSION)
    return Outcomes(object_payload(holdings, version, call), changes=[Change(template, template.status, parts)])
