"""Who may import whom: a file imports from its own floor or a lower one, and the first three know no Airflow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from airflow_provider_persona.version_compat import AIRFLOW_V_3_1_PLUS
from tests.airflow_process import run_program

PACKAGE = Path(__file__).parents[1] / "airflow_provider_persona"
SIMULATOR = Path(__file__).parents[1] / "persona_simulator"
FILES = sorted(PACKAGE.rglob("*.py"))

API = {"api"}
CLIENT = API | {"client"}
STORAGE = API | {"storage"}
BULK = CLIENT | STORAGE | {"bulk"}
EXPORT = CLIENT | STORAGE | {"export"}
HOOKS = CLIENT | {"hooks", "version_compat"}
TASKS = BULK | EXPORT | HOOKS | {"tasks", "links"}
MAY_KNOW = {
    # floors 1 to 3: no Airflow
    "api": API,
    "client": CLIENT,
    "storage": STORAGE,
    "bulk": BULK,
    "export": EXPORT,
    # floors 4 and 5
    "hooks": HOOKS,
    "tasks": TASKS,
    # floor 6: public classes
    "operators": TASKS | {"operators"},
    "transfers": TASKS | {"transfers"},
    "triggers": TASKS | {"triggers"},
    "sensors": TASKS | {"sensors", "triggers"},  # a sensor that defers names its trigger
    "decorators": TASKS | {"decorators", "operators"},  # a decorated task is an operator
    "notifications": TASKS | {"notifications"},
    "assets": {"assets", "version_compat"},  # Airflow calls these functions for every asset of a Dag
    "pages": TASKS | {"pages"},
    "plugins": TASKS | {"plugins", "pages"},  # a plugin brings the pages
    # beside the floors
    "links": {"version_compat"},  # the bases of operators and sensors give each its links
    "__init__": set(),
    "version_compat": set(),
    "get_provider_info": {"hooks"},  # the form is data that the provider's metadata repeats
}
"""From each folder to the folders that its files may import from."""

KNOW_NO_AIRFLOW = ("api", "client", "storage", "bulk", "export")


def _part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_its_floor_may_know(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module in _imports(path):
        top = module.split(".")[0]
        assert top != "persona_simulator", f"{path} must not know the simulator"
        if top == "airflow":
            assert part not in KNOW_NO_AIRFLOW, f"{path} must not know Airflow"
        if top == "airflow_provider_persona" and (target := _part(module)):
            assert target in MAY_KNOW[part], f"{path} must not know {module}"


def test_the_simulator_knows_the_protocol_and_nothing_else():
    for path in SIMULATOR.rglob("*.py"):
        for module in _imports(path):
            if module.split(".")[0] in ("airflow", "airflow_provider_persona"):
                assert module.startswith("airflow_provider_persona.api."), f"{path} must not know {module}"


def _names(nodes: Iterable[ast.AST], *, at_import: bool) -> Iterator[str]:
    """Yield the modules that statements import, and `module.name` for each name that they take from one.

    :param at_import: leave out what is imported inside a function.
    """
    for node in nodes:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _names(node.orelse, at_import=at_import)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not (at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            yield from _names(ast.iter_child_nodes(node), at_import=at_import)


def _known_modules(folder: Path, *, at_import: bool) -> dict[str, set[str]]:
    """Return each module of a package with the modules of that package that it imports."""
    paths = {}
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        paths[".".join(parts).removesuffix(".__init__")] = path
    known = {}
    for name, path in paths.items():
        named = _names(ast.parse(path.read_text("utf-8")).body, at_import=at_import)
        known[name] = {found for found in named if found in paths and found != name}
    return known


def _circle(known: Mapping[str, set[str]]) -> list[str]:
    """Return the modules that cannot be put in an order in which each knows earlier ones only."""
    left = {name: set(others) for name, others in known.items()}
    while free := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in free}
    return sorted(left)


@pytest.mark.parametrize("folder", [PACKAGE, SIMULATOR], ids=lambda folder: folder.name)
@pytest.mark.parametrize("at_import", [True, False], ids=["at import", "with functions"])
def test_no_modules_import_each_other(folder, at_import):
    assert _circle(_known_modules(folder, at_import=at_import)) == []


def test_a_circle_is_found(tmp_path):
    folder = tmp_path / "house"
    folder.mkdir()
    (folder / "__init__.py").write_text("from house import cellar\n")
    (folder / "cellar.py").write_text("def look():\n    from house.roof import tile\n")
    (folder / "roof.py").write_text("import house.cellar\nif TYPE_CHECKING:\n    import house.street\n")
    (folder / "street.py").write_text("import house.roof\n")
    assert _circle(_known_modules(folder, at_import=True)) == []
    found = _circle(_known_modules(folder, at_import=False))
    assert {"house.cellar", "house.roof"} <= set(found)


@pytest.mark.parametrize("path", sorted((PACKAGE / "bulk").rglob("*.py")), ids=str)
def test_the_engine_knows_kinds_of_objects_through_their_protocol_only(path):
    """What is special to one kind stands in `bulk/subjects/kinds.py`, so that a new kind is a new entry there."""
    if path.parent.name == "subjects":
        return
    for module in _imports(path):
        assert not module.startswith("airflow_provider_persona.bulk.subjects.") or module.endswith(".subject"), module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_version_compat_knows_versions_of_airflow(path):
    if path.name == "version_compat.py":
        return
    source = path.read_text("utf-8")
    assert "airflow.__version__" not in source
    assert "apache-airflow==" not in source


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_readable(path):
    assert path.read_text("utf-8").count("\n") <= 400
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


def test_the_first_three_floors_import_without_airflow_and_fast():
    program = (
        "import sys\n"
        "from tests.call_counts import CallCount\n"
        "sys.modules['airflow'] = None\n"
        "with CallCount() as importing:\n"
        "    import airflow_provider_persona.bulk.job, airflow_provider_persona.bulk.apply.run\n"
        "print(importing.calls, [m for m in ('aiohttp', 'requests') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    calls, heavy = done.stdout.strip().split(" ", 1)
    assert int(calls) < 400_000
    assert heavy == "[]"


def test_every_module_imports_without_a_deprecation_of_ours():
    files = [path.relative_to(PACKAGE).with_suffix("") for path in FILES if path.name != "__main__.py"]
    modules = [".".join((PACKAGE.name, *path.parts)).removesuffix(".__init__") for path in files]
    if not AIRFLOW_V_3_1_PLUS:  # nothing asks for the app where no page can be shown
        modules.remove("airflow_provider_persona.pages.application")
    program = (
        "import importlib, sys, warnings\n"
        "import airflow, airflow.triggers.base\n"
        "import airflow.providers.common.compat.sdk, airflow.providers.http.sensors.http\n"
        "import airflow.providers.common.sql.hooks.sql\n"
        "for module in [each for each in sys.modules if each.startswith('airflow_provider_persona')]:\n"
        "    del sys.modules[module]\n"  # what Airflow has imported of ours is imported again
        "warnings.filterwarnings('error', category=DeprecationWarning)\n"
        f"for module in {modules!r}: importlib.import_module(module)\n"
    )
    done = run_program(program)
    assert done.returncode == 0, done.stderr[-2000:]
