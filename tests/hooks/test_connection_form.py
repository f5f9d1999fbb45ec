"""The form of a Persona connection, in both ways in which Airflow asks for it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import airflow
import jsonschema
import pytest

from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.get_provider_info import get_provider_info
from airflow_provider_persona.hooks.form import FORM_FIELDS
from airflow_provider_persona.hooks.persona import PersonaAsyncHook, PersonaHook

_SCHEMA = Path(airflow.__file__).parent / "provider_info.schema.json"
_TYPE = get_provider_info()["connection-types"][0]

needs_form_libraries = pytest.mark.skipif(
    importlib.util.find_spec("wtforms") is None or importlib.util.find_spec("flask_appbuilder") is None,
    reason="the web server's form libraries are not installed; Airflow 3.2 and later do not need them",
)


def test_the_metadata_fits_airflows_schema():
    jsonschema.validate(get_provider_info(), json.loads(_SCHEMA.read_text("utf-8")))


def schema_of_the_form():
    """Return the part of Airflow's schema of `provider.yaml` that describes declared forms."""
    schema = json.loads(_SCHEMA.with_name("provider.yaml.schema.json").read_text("utf-8"))
    types = schema["properties"]["connection-types"]
    if "conn-fields" not in types["items"]["properties"]:
        pytest.skip("this Airflow draws no declared form")
    return types


def test_the_declared_form_fits_airflows_schema():
    jsonschema.validate(get_provider_info()["connection-types"], schema_of_the_form())


def test_the_schema_looks_at_the_form():
    broken = json.loads(json.dumps(get_provider_info()["connection-types"]))
    broken[0]["conn-fields"]["reserve"] = "no object"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema_of_the_form())


def test_the_metadata_is_plain_data():
    assert json.loads(json.dumps(get_provider_info())) == get_provider_info()


@pytest.mark.parametrize("hook", [PersonaHook, PersonaAsyncHook])
def test_metadata_and_hooks_agree(hook):
    assert _TYPE["connection-type"] == hook.conn_type == "persona"
    assert _TYPE["hook-name"] == hook.hook_name == "Persona"
    assert (hook.conn_name_attr, hook.default_conn_name) == ("persona_conn_id", "persona_default")


def test_the_hook_class_named_is_the_hook():
    module, _, name = _TYPE["hook-class-name"].rpartition(".")
    assert getattr(importlib.import_module(module), name) is PersonaHook


@pytest.mark.parametrize("field", FORM_FIELDS.values(), ids=list(FORM_FIELDS))
def test_no_field_has_a_default_that_would_be_frozen_into_each_connection(field):
    assert "default" not in field["schema"]
    assert "null" in field["schema"]["type"]
    jsonschema.validate(None, field["schema"])


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("persona_version", "2025-12-08", "latest"), ("reserve", 0.5, 1), ("connect_timeout", 5, 0),
        ("read_timeout", 60.5, -1), ("proxies", {"https": "http://p:1"}, "p"), ("verify", "false", 7),
        ("expected_environment_id", "env_1", 7), ("dashboard_url", "https://persona.example/dashboard", 7),
    ],
)  # fmt: skip
def test_what_the_form_takes_is_what_the_settings_take(name, good, bad):
    schema = FORM_FIELDS[name]["schema"]
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema)
    setting = {"persona_version": "version"}.get(name, name)
    assert PersonaSettings.checked(api_key="k", **{setting: good}) is not None


def test_every_field_of_the_form_is_tested_here():
    assert set(FORM_FIELDS) == {
        "persona_version", "reserve", "connect_timeout", "read_timeout", "proxies", "verify", "expected_environment_id",
        "dashboard_url",
    }  # fmt: skip


def test_what_keeps_from_a_mistake_comes_first_and_what_few_need_last():
    assert next(iter(FORM_FIELDS)) == "expected_environment_id"
    assert list(FORM_FIELDS)[-1] == "proxies"


def test_the_behaviour_is_the_same_spelt_two_ways():
    declared = {name.replace("-", "_"): value for name, value in _TYPE["ui-field-behaviour"].items()}
    assert PersonaHook.get_ui_field_behaviour() == declared
    assert declared["relabeling"]["password"] == "API key"


@needs_form_libraries
def test_the_widgets_are_those_of_the_declared_form():
    widgets = PersonaHook.get_connection_form_widgets()
    assert list(widgets) == list(_TYPE["conn-fields"])
    for name, widget in widgets.items():
        assert widget.kwargs["description"] == FORM_FIELDS[name]["description"]
        assert "default" not in widget.kwargs


def test_airflow_finds_the_hook_for_the_connection_type(connection):
    from airflow_provider_persona.version_compat import BaseHook

    hook = BaseHook.get_connection(connection()).get_hook(hook_params={"method": "GET"})
    assert isinstance(hook, PersonaHook)
    assert hook.persona_conn_id == "persona_test"
