"""Who may import whom: a file imports from its own floor or a lower one, and the first three know no Airflow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "airflow_provider_persona"
FLOORS = {"api": 1, "client": 2, "bulk": 3, "hooks": 4}
TOP = 5
FILES = sorted(PACKAGE.rglob("*.py"))


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
def test_a_file_imports_from_its_floor_or_below(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    floor = FLOORS.get(part, TOP)
    for module in _imports(path):
        top = module.split(".")[0]
        if top == "airflow":
            assert floor >= 4, f"{path} must not know Airflow"
        if top == "airflow_provider_persona":
            target = _part(module)
            if part == "simulator":
                assert target in ("simulator", "api", ""), f"{path} must not know {module}"
            else:
                assert target != "simulator", f"{path} must not know the simulator"
                # The form is data that the provider's metadata repeats, and __init__ holds the version.
                assert FLOORS.get(target, TOP if target else 0) <= floor, f"{path} imports upward: {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_version_compat_knows_versions_of_airflow(path):
    if path.name == "version_compat.py":
        return
    source = path.read_text("utf-8")
    assert "airflow.__version__" not in source
    assert "apache-airflow==" not in source


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_readable(path):
    assert path.read_text("utf-8").count("\n") <= 420
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


def test_the_first_three_floors_import_without_airflow_and_fast():
    program = (
        "import sys, time; started = time.process_time()\n"
        "sys.modules['airflow'] = None\n"
        "import airflow_provider_persona.bulk.run, airflow_provider_persona.bulk.apply\n"
        "print(time.process_time() - started, [m for m in ('aiohttp', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, heavy = done.stdout.strip().split(" ", 1)
    assert float(seconds) < 1.0
    assert heavy == "[]"


def test_every_module_imports_without_a_deprecation_of_ours():
    files = [path.relative_to(PACKAGE).with_suffix("") for path in FILES if path.name != "__main__.py"]
    modules = [".".join((PACKAGE.name, *path.parts)).removesuffix(".__init__") for path in files]
    program = (
        "import importlib, warnings\n"
        "import airflow, airflow.triggers.base\n"
        "import airflow.providers.common.compat.sdk, airflow.providers.http.sensors.http\n"
        "import airflow.providers.common.sql.hooks.sql\n"
        "warnings.filterwarnings('error', category=DeprecationWarning)\n"
        f"for module in {modules!r}: importlib.import_module(module)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
