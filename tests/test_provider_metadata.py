"""What Airflow learns about the provider, through its own command line and its own schema."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from importlib import metadata, resources

import jsonschema
import pytest
from airflow.triggers.base import BaseTrigger

from airflow_provider_persona.get_provider_info import get_provider_info
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS, BaseHook, BaseOperator
from tests.airflow_process import run_program

_SHARED = {"PersonaReadOperator", "PersonaWaitSensor", "PersonaWaitTrigger"}
"""Bases, which are of no use by themselves."""


def test_the_metadata_is_valid_and_installed_as_an_entry_point():
    schema = json.loads(resources.files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)
    found = [point for point in metadata.entry_points(group="apache_airflow_provider") if "persona" in point.value]
    assert [point.load()() for point in found] == [get_provider_info()]


def test_every_module_it_names_is_there():
    info = get_provider_info()
    named = [
        module for part in ("hooks", "operators", "sensors", "triggers") for module in info[part][0]["python-modules"]
    ]
    named += [transfer["python-module"] for transfer in info["transfers"]]
    for module in named:
        importlib.import_module(module)
    hook = info["connection-types"][0]["hook-class-name"].rpartition(".")
    assert getattr(importlib.import_module(hook[0]), hook[2]).hook_name == info["connection-types"][0]["hook-name"]


def test_every_module_with_something_public_is_named():
    named = json.dumps(get_provider_info())
    parts = {"operators": BaseOperator, "transfers": BaseOperator, "sensors": BaseOperator, "triggers": BaseTrigger}
    for part, base in {**parts, "hooks": BaseHook}.items():
        package = importlib.import_module(f"airflow_provider_persona.{part}")
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(found.name)
            ours = [each for each in vars(module).values() if getattr(each, "__module__", None) == found.name]
            public = [each for each in ours if isinstance(each, type) and each.__name__.startswith("Persona")]
            usable = [each for each in public if issubclass(each, base) and each.__name__ not in _SHARED]
            assert not usable or f'"{found.name}"' in named, found.name


def test_reading_the_metadata_imports_nothing_heavy():
    program = (
        "import sys; from airflow_provider_persona.get_provider_info import get_provider_info; get_provider_info()\n"
        "print([m for m in ('airflow', 'pydantic', 'requests', 'aiohttp') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


_COMMANDS = """
import json, sys
from airflow.__main__ import main

for command in json.loads(sys.argv[1]):
    sys.argv = ["airflow", *command]
    main()
    print("\\n=== end of a command", flush=True)
"""


def test_airflow_shows_the_provider(airflow_db):
    """Both commands in one process, since finding all providers takes most of their time."""
    commands = [
        ["providers", "get", "airflow-provider-persona", "--full", "-o", "json"],
        ["providers", "hooks", "-o", "json"],
    ]
    done = run_program(_COMMANDS, [json.dumps(commands)])
    assert done.returncode == 0, done.stderr
    shown, hooks, _ = done.stdout.split("\n=== end of a command")
    for part in ("persona", "operators.cases", "operators.bulk", "sensors.cases", "triggers.cases", "sql_to_persona"):
        assert part in shown
    ours = [hook for hook in json.loads(hooks[hooks.index("[{") :]) if hook["connection_type"] == "persona"]
    assert ours[0]["class"].endswith("PersonaHook")
    assert ours[0]["conn_id_attribute_name"] == "persona_conn_id"


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 has no such API")
def test_the_connection_form_reaches_the_ui(airflow_db):
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    ours = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "persona"]
    assert ours[0].hook_name == "Persona"
    assert set(ours[0].extra_fields) >= {"persona_version", "expected_environment_id", "reserve", "read_timeout"}
    assert ours[0].standard_fields.password.title == "API key"
