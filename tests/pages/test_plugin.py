"""The plugin: what it adds to which Airflow, that loading it costs nothing elsewhere, and what its own files hold."""

from __future__ import annotations

import json
import re
from importlib import import_module, metadata, resources

import pytest

from airflow_provider_persona.get_provider_info import get_provider_info
from airflow_provider_persona.pages.headers import POLICY
from airflow_provider_persona.pages.task_records import BULK_OPERATORS
from airflow_provider_persona.plugins.persona import PersonaPlugin
from airflow_provider_persona.version_compat import AIRFLOW_V_3_1_PLUS
from tests.airflow_process import run_program

STATIC = resources.files("airflow_provider_persona.pages").joinpath("static")
FILES = sorted(found.name for found in STATIC.iterdir() if "." in found.name)


def test_the_metadata_and_the_entry_point_name_the_same_plugin() -> None:
    (point,) = [point for point in metadata.entry_points(group="airflow.plugins") if point.name == "persona"]
    assert point.load() is PersonaPlugin
    (declared,) = get_provider_info()["plugins"]
    module, _, name = declared["plugin-class"].rpartition(".")
    assert getattr(import_module(module), name) is PersonaPlugin


_LOADED = """
import json, sys
from airflow import plugins_manager, settings

settings.LAZY_LOAD_PROVIDERS = sys.argv[1] == "late"  # [core] lazy_discover_providers, which was read at import
plugins_manager.ensure_plugins_loaded()
if hasattr(plugins_manager, "_get_plugins"):  # later Airflows keep nothing in the module
    plugins, errors = plugins_manager._get_plugins()
else:
    plugins, errors = plugins_manager.plugins, plugins_manager.import_errors
ours = [plugin for plugin in plugins if plugin.name == "persona"]
views = [view["name"] for view in ours[0].external_views]
errors = {name: said for name, said in errors.items() if "persona" in f"{name} {said}".lower()}  # OpenLineage has one
print("ours", json.dumps([len(ours), views, "airflow_provider_persona.pages.application" in sys.modules, errors]))
"""


@pytest.mark.parametrize("when", ["late", "early"])
def test_loading_it_adds_the_views_of_this_airflow_once_and_builds_no_app(when: str) -> None:
    done = run_program(_LOADED, [when])
    assert done.returncode == 0, done.stderr[-2000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ours ")]
    views = ["Persona", "Persona runs"] if AIRFLOW_V_3_1_PLUS else []
    assert json.loads(line.removeprefix("ours ")) == [1, views, False, {}]


@pytest.mark.skipif(AIRFLOW_V_3_1_PLUS, reason="this Airflow has the pages")
def test_an_airflow_without_places_for_pages_gets_none() -> None:
    assert PersonaPlugin().fastapi_apps == []


def test_every_bulk_operator_is_listed_among_the_runs() -> None:
    for name in ("operators.bulk", "operators.plans", "transfers.sql_to_persona"):
        import_module(f"airflow_provider_persona.{name}")
    bulk_task = import_module("airflow_provider_persona.tasks.bulk_task")
    known = bulk_task.BulkOperator.__subclasses__()
    ours = {each.__name__ for each in known if each.__module__.startswith("airflow_provider_persona.")}
    assert ours == set(BULK_OPERATORS)


@pytest.mark.parametrize("name", FILES)
def test_the_pages_own_files_make_no_markup_of_texts_and_load_nothing_from_elsewhere(name: str) -> None:
    text = STATIC.joinpath(name).read_text("utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc", text)
    assert not re.search(r"https?://|[\"'(]//", text)
    if name.endswith(".html"):
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\son\w+=|\sstyle=", text)
        assert set(re.findall(r"{{(\w+)}}", text)) == {"root"}


def test_the_policy_lets_no_inline_script_run() -> None:
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY
    assert "script-src 'self'" in POLICY
