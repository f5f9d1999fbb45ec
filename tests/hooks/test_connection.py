"""What a connection holds, as people write it: extras, hosts and ports, and errors that say which connection it is."""

from __future__ import annotations

import pytest

from airflow_provider_persona.api.errors import PersonaSettingsError
from airflow_provider_persona.hooks.connection import _TELLING
from airflow_provider_persona.hooks.form import FORM_FIELDS
from airflow_provider_persona.hooks.persona import PersonaHook
from persona_simulator import SANDBOX_KEY


@pytest.mark.parametrize(
    ("extra", "settings"),
    [
        ({}, {"read_timeout": 60.0, "reserve": 0.2, "verify": True, "version": "2025-12-08"}),
        (
            dict.fromkeys(["persona_version", "reserve", "read_timeout", "verify", "proxies"]),
            {"reserve": 0.2, "proxies": None},
        ),
        ({"reserve": 0, "connect_timeout": "2"}, {"reserve": 0.0, "connect_timeout": 2.0}),
        ({"verify": "False"}, {"verify": False}),
        ({"verify": "/etc/ca.pem"}, {"verify": "/etc/ca.pem"}),
        ({"proxies": '{"https": "http://p:1"}'}, {"proxies": {"https": "http://p:1"}}),
        ({"proxies": {"https": "http://p:1"}}, {"proxies": {"https": "http://p:1"}}),
        ({"proxies": {"all://a.example": " http://p:1 "}}, {"proxies": {"all://a.example": "http://p:1"}}),
        ({"proxies": {}}, {"proxies": None}),
        ({"persona_version": "2023-01-05", "expected_environment_id": "env_1"}, {"version": "2023-01-05"}),
    ],
)
def test_extras_become_settings_and_null_means_unset(connection, extra, settings):
    found = PersonaHook(connection(extra)).settings
    assert {name: getattr(found, name) for name in settings} == settings


@pytest.mark.parametrize(
    ("parts", "host"),
    [
        ({"host": None}, "https://api.withpersona.com"),
        ({"host": "withpersona.com"}, "https://withpersona.com"),
        ({"host": "localhost", "schema": "http", "port": 8080}, "http://localhost:8080"),
        ({"host": "localhost:8080", "schema": "http", "port": 8080}, "http://localhost:8080"),
        ({"host": "https://withpersona.com/api/v1", "port": 8443}, "https://withpersona.com:8443"),
        ({"host": " withpersona.com ", "schema": " https ", "port": 443}, "https://withpersona.com:443"),
        ({"host": "https://withpersona.com/api/v1"}, "https://withpersona.com"),
    ],
)
def test_the_parts_of_a_connection_become_a_host(connection, parts, host):
    assert PersonaHook(connection(**parts)).settings.host == host


@pytest.mark.parametrize(
    ("extra", "parts", "named"),
    [
        ({"reserve": "canary"}, {}, "reserve"),
        ({"read_timeout": True}, {}, "read_timeout: give a number"),
        ({"reserve": False}, {}, "reserve: give a number"),
        ({"proxies": "canary"}, {}, "proxies"),
        ({}, {"host": "http://canary.example"}, "host"),
        ({"proxies": False}, {}, "proxies: "),
        ({"proxies": 0}, {}, "proxies: "),
        ({"proxies": []}, {}, "proxies: "),
        ({"proxies": {"HTTPS": "http://canary:1"}}, {}, "proxies: its keys are http, https"),
        ({"proxies": {"http s": "http://canary:1"}}, {}, "proxies: its keys are http, https"),
        ({"verify": 0}, {}, "verify: "),
        ({"verify": 1}, {}, "verify: "),
        ({"dashboard_url": "https://app.can\tary.example"}, {}, "dashboard_url: "),
        ({}, {"password": None}, "no API key"),
    ],
)
def test_a_connection_that_cannot_be_used_is_named_and_shows_no_value(connection, extra, parts, named):
    hook = PersonaHook(connection(extra, **parts))
    with pytest.raises(PersonaSettingsError, match=rf"connection persona_test: .*{named}") as caught:
        _ = hook.settings
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ('{"expected_environment_id": "env_canary",}', r"the extra is not JSON \(line 1, column \d+\)"),
        ("expected_environment_id=env_canary", r"the extra is not JSON \(line 1, column 1\)"),
        (
            '{"expected_environment_id": "env_canary", "expected_environment_id": "env_b"}',
            "the extra has 'expected_environment_id' twice",
        ),
        ('["canary"]', "the extra is a list"),
        ('"canary"', "the extra is a text"),
        ("1.5", "the extra is a number"),
        ("true", "the extra is true or false"),
        ("null", "the extra is null"),
    ],
)
def test_an_extra_that_airflow_would_ignore_is_refused(connection, extra, said):
    with pytest.raises(PersonaSettingsError, match=f"^connection persona_test: {said}") as caught:
        _ = PersonaHook(connection(extra)).settings
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("extra", ["", "  ", "{}", "\n{}\n"])
def test_an_empty_extra_is_no_extra(connection, extra):
    assert PersonaHook(connection(extra)).settings.expected_environment_id is None


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("version", "persona_version"),
        ("Persona-Version", "persona_version"),
        ("api_version", "persona_version"),
        ("environment_id", "expected_environment_id"),
        ("expected_env", "expected_environment_id"),
        ("expected environment id", "expected_environment_id"),
        ("read-timeout", "read_timeout"),
        ("read_timout", "read_timeout"),
        ("reserved", "reserve"),
        ("https_proxy", "proxies"),
        ("environmentId", "expected_environment_id"),
        ("apiVersion", "persona_version"),
        ("reserve_share", "reserve"),
        ("ca_bundle", "verify"),
        ("insecure", "verify"),
        ("tls_verification", "verify"),
        ("verify_ssl", "verify"),
    ],
)
def test_a_key_near_a_known_one_is_an_error_that_names_it(connection, name, known):
    with pytest.raises(PersonaSettingsError, match=f"connection persona_test: .*'{known}' was probably meant"):
        _ = PersonaHook(connection({name: None})).settings


def test_the_telling_words_tell_of_keys_that_there_are():
    assert set(_TELLING.values()) <= set(FORM_FIELDS)


def test_other_unknown_keys_are_warned_of_once(connection, caplog):
    for _ in range(2):
        _ = PersonaHook(connection({"owner_team": "canary", "timeout": "canary"})).settings
    (said,) = [record.getMessage() for record in caplog.records if "without a meaning" in record.getMessage()]
    assert said == "connection persona_test: the extra has keys without a meaning here: owner_team, timeout"


@pytest.mark.parametrize(
    ("extra", "parts", "said"),
    [
        ({"persona_version": "２０２５-12-08"}, {}, "version: "),
        ({}, {"host": "localhost:8080", "port": 9090}, "host names the port 8080 and the port field 9090"),
        ({}, {"host": "api withpersona.com"}, "host: give a name or an address"),
        ({}, {"host": "api\t.withpersona.com"}, "host: give a name or an address without breaks"),
        ({}, {"host": "https://api.with\npersona.com"}, "host: give a name or an address without breaks"),
        ({}, {"host": "api.withpersona.com:0"}, "host: its port is no number from 1 to 65535"),
        ({}, {"host": "api.withpersona.com:65536"}, "host: its port is no number from 1 to 65535"),
        ({}, {"host": "api\\.withpersona.com"}, "host: give a name or an address"),
        ({}, {"host": "api\uff0ewithpersona.com"}, "host: give a name or an address"),
    ],
)
def test_what_looks_right_and_is_not_is_refused(connection, extra, parts, said):
    with pytest.raises(PersonaSettingsError, match=f"^connection persona_test: .*{said}"):
        _ = PersonaHook(connection(extra, **parts)).settings


def test_blanks_around_values_are_dropped(connection):
    extra = {"persona_version": " 2023-01-05\n", "expected_environment_id": " env_1 ", "verify": " False "}
    found = PersonaHook(connection(extra, password=f" {SANDBOX_KEY}\n")).settings
    assert (found.version, found.expected_environment_id, found.verify) == ("2023-01-05", "env_1", False)
    assert found.authorization() == f"Bearer {SANDBOX_KEY}"


@pytest.mark.parametrize(
    ("parts", "said"),
    [({"extra": "{,}"}, "not JSON"), ({"extra": {"version": 1}}, "persona_version"), ({"password": " "}, "api_key")],
)
def test_the_test_of_a_connection_does_not_name_airflows_copy_of_it(connection, parts, said):
    is_good, message = PersonaHook(connection(**parts)).test_connection()
    assert not is_good
    assert message.startswith("the connection: ")
    assert said in message
    assert "persona_test" not in message
    assert "Value error" not in message
