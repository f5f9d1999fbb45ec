"""API keys, webhooks, client tokens and OAuth tokens: what hands out secrets, and when an answer shows them.

A key that is made here is good for calls at once, with the permissions that it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from persona_simulator.call import Call
from persona_simulator.clock import timestamp
from persona_simulator.config import API_VERSIONS, ApiKey, Inflection
from persona_simulator.problems import RefusedError, bad_request, unprocessable
from persona_simulator.resources.acts import (
    ATTRIBUTES,
    changing,
    given,
    needed,
)
from persona_simulator.resources.answers import object_payload
from persona_simulator.resources.holdings import Change, Holdings, Outcomes, touch
from persona_simulator.resources.listing import Act
from persona_simulator.resources.things import Thing

_LONGEST_EXPIRY: Final = 30 * 86_400
_KEY_SETTINGS: Final = (
    "name",
    "note",
    "api-version",
    "api-key-inflection",
    "api-attributes-blocklist",
    "ip-address-allowlist",
    "permissions",
    "file-access-token-expires-in",
)
_HOOK_SETTINGS: Final = (
    "name",
    "description",
    "url",
    "enabled-events",
    "api-version",
    "api-key-inflection",
    "api-attributes-blocklist",
    "file-access-token-expires-in",
    "payload-filter",
    "included-allowlist",
    "relationship-allowlist",
)


def _settings(call: Call, *names: str) -> dict[str, Any]:
    settings = given(call, *names)
    version, inflection = settings.get("api-version"), settings.get("api-key-inflection")
    if version is not None and version not in API_VERSIONS:
        raise unprocessable("Version is not a valid API version", "/data/attributes/api-version")
    if inflection is not None and inflection not in set(Inflection):
        raise unprocessable("Inflection must be camel, kebab or snake", "/data/attributes/api-key-inflection")
    return settings


def _accept(holdings: Holdings, key: Thing) -> str:
    """Make a secret for a key, let calls use it, and return it."""
    secret = f"persona_sandbox_simulated_{key.thing_id}"
    shown = key.attributes
    version, inflection = shown["api-version"], Inflection(shown["api-key-inflection"])
    permissions = frozenset(shown["permissions"])
    holdings.keys[secret] = ApiKey(secret, key.thing_id, "made", permissions, version, inflection)
    key.hidden["secret"] = secret
    return secret


def create_key(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /api-keys`, the only answer beside that of clone that shows the secret."""
    needed(call, "name")
    key = holdings.make("api-key", call.now, _settings(call, *_KEY_SETTINGS))
    return _with_secret(holdings, key, call)


def clone_key(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /api-keys/{id}/clone`."""
    known = holdings.find("api-key", call.subject)
    settings = {name: value for name, value in known.attributes.items() if name in _KEY_SETTINGS}
    return _with_secret(holdings, holdings.make("api-key", call.now, settings), call)


def _with_secret(holdings: Holdings, key: Thing, call: Call) -> Outcomes:
    secret = _accept(holdings, key)
    payload = object_payload(holdings, key, call)
    payload["data"]["attributes"]["value"] = secret
    return Outcomes(payload, changes=[Change(key, None, ("created",))])


def _update_key(_holdings: Holdings, _key: Thing, call: Call) -> Mapping[str, Any]:
    return _settings(call, *_KEY_SETTINGS)


update_key = changing("api-key", _update_key, None)


def expire_key(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /api-keys/{id}/expire`."""
    key = holdings.find("api-key", call.subject)
    seconds = call.need(int, "meta", "expires-in-seconds")
    if not 0 <= seconds <= _LONGEST_EXPIRY:
        raise unprocessable("An API key must expire within 30 days", "/meta/expires-in-seconds")
    parts = key.set({"expires-at": timestamp(call.now + seconds)})
    key.hidden["expires"] = call.now + seconds
    if (secret := key.hidden.get("secret")) is not None:
        holdings.key_ends[secret] = call.now + seconds
    return Outcomes(object_payload(holdings, key, call), changes=[Change(key, None, parts)])


def _hook(call: Call) -> Mapping[str, Any]:
    needed(call, "name", "url", "enabled-events")
    if not call.find(*ATTRIBUTES, "name"):
        raise unprocessable("Name must not be empty", "/data/attributes/name")
    return _settings(call, *_HOOK_SETTINGS)


def create_webhook(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /webhooks`."""
    return _new_hook(holdings, call, _hook(call))


def clone_webhook(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /webhooks/{id}/clone`."""
    known = holdings.find("webhook", call.subject)
    return _new_hook(
        holdings, call, {name: known.attributes[name] for name in _HOOK_SETTINGS if name in known.attributes}
    )


def read_webhook(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `GET /webhooks/{id}`, which shows the secret as the list does not."""
    return Outcomes(_with_secrets(holdings, holdings.find("webhook", call.subject), call))


def _new_hook(holdings: Holdings, call: Call, settings: Mapping[str, Any]) -> Outcomes:
    hook = holdings.make("webhook", call.now, settings)
    return Outcomes(_with_secrets(holdings, hook, call), changes=[Change(hook, None, ("created",))])


def _with_secrets(holdings: Holdings, hook: Thing, call: Call) -> dict[str, Any]:
    payload = object_payload(holdings, hook, call)
    secrets = hook.hidden.get("secrets") or _renew(hook, None)
    payload["data"]["attributes"].update({"secret": secrets[0]["value"], "secrets": secrets})
    return payload


def _update_hook(_holdings: Holdings, hook: Thing, call: Call) -> Mapping[str, Any]:
    _not_archived(hook)
    return _settings(call, *_HOOK_SETTINGS)


update_webhook = changing("webhook", _update_hook, None)


def rotate_secret(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /webhooks/{id}/rotate-secret`: the old secret stays good for a while if that is asked for."""
    hook = holdings.find("webhook", call.subject)
    _not_archived(hook)
    seconds = call.may(int, "meta", "expires-in-seconds")
    _with_secrets(holdings, hook, call)
    _renew(hook, None if seconds is None else call.now + seconds)
    return Outcomes(_with_secrets(holdings, hook, call), changes=[Change(hook, hook.status, ("secret",))])


def _renew(hook: Thing, old_until: float | None) -> list[dict[str, Any]]:
    """Give a webhook a new secret and return those that are good, the new one first."""
    count = hook.hidden["renewals"] = hook.hidden.get("renewals", 0) + 1
    old = hook.hidden.get("secrets")
    secrets = [{"value": f"wbhsec_sim_{hook.thing_id}_{count}", "expires-at": None}]
    if old and old_until is not None:
        secrets.append({**old[0], "expires-at": timestamp(old_until)})
    hook.hidden["secrets"] = secrets
    return secrets


def _not_archived(hook: Thing) -> None:
    if hook.status == "archived":
        raise RefusedError(409, "Conflict", "Webhook is archived")


def allowing(*, add: bool) -> Act:
    """Return what serves the widening or narrowing of what a client token may reach."""

    def doing(_holdings: Holdings, token: Thing, call: Call) -> Mapping[str, Any]:
        given_resources = call.texts("meta", "allowed-resources")
        if given_resources is None:
            raise bad_request("meta.allowed_resources is missing")
        had: list[str] = token.attributes["allowed-resources"]
        if add:
            return {"allowed-resources": had + [each for each in given_resources if each not in had]}
        return {"allowed-resources": [each for each in had if each not in given_resources]}

    return changing("client-token", doing, None)


def authorize(_holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /oauth/authorize`."""
    for name in ("client-id", "response-type", "scope"):
        call.need(str, name)
    return Outcomes({"code": "simulated-authorization-code", "expires-in": 599})


def token(_holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /oauth/token` for both of its grants; the token is none that calls can use."""
    grant = call.need(str, "grant-type")
    wanted = {"authorization_code": ["code"], "client_credentials": ["client-assertion", "client-assertion-type"]}
    if grant not in wanted:
        raise bad_request("grant_type is invalid")
    for name in wanted[grant]:
        call.need(str, name)
    scope = call.may(str, "scope") or ""
    shown = {"access-token": "simulated-access-token", "expires-in": 3600, "scope": scope, "token-type": "bearer"}
    return Outcomes(shown)


def switching(to: str) -> Act:
    """Return what serves the enabling, disabling or archiving of a webhook."""

    def act(holdings: Holdings, call: Call) -> Outcomes:
        hook = holdings.find("webhook", call.subject)
        before = hook.status
        if before != to:
            _not_archived(hook)
        parts = hook.set({"status": to})
        touch(hook, parts, call.now)
        return Outcomes(object_payload(holdings, hook, call), changes=[Change(hook, before, parts)])

    return act
