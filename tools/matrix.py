"""`make matrix`: build the wheel, install it beside each Airflow, and check there what a user would meet.

Prints a table in Markdown. `--short` leaves the suite out and takes four Airflows, for CI. Each environment is removed
after its checks. A Python that this machine does not have is named below the table and not claimed. PYTHONS chooses
others, as versions that uv finds or as paths: PYTHONS="3.11 /opt/python3.14/bin/python3".
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FREEZES = ROOT / "constraints" / "matrix"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""What is looked for; each freeze is resolved for the first of them and all later ones."""
SHORT = ("2.11.2-release", "3.0.6-release", "3.1.8-release", "3.3.2-newest")
COLUMNS = ("imports", "provider", "dags", "connection", "bulk", "sensor", "event", "approval", "resume", "suite")
SUITE = ("tests/hooks", "tests/operators", "tests/sensors", "tests/triggers", "tests/transfers", "tests/dags")
COPIED = ("tests", "dags", "benchmarks", "constraints", "tools", "demo", "pyproject.toml", "README.md", "setup.cfg")
UV = os.environ.get("UV", "uv")
_TAIL = 3000


@dataclass(frozen=True, slots=True)
class Cell:
    """One environment.

    :param freeze: name of its freeze in `constraints/matrix`, which is the Airflow's version and the age of the rest.
    :param python: its Python's version.
    :param interpreter: path of that Python.
    """

    freeze: str
    python: str
    interpreter: str

    @property
    def wants(self) -> Path:
        """The freeze."""
        return FREEZES / f"{self.freeze}.txt"

    def row(self, answers: dict[str, str]) -> str:
        """Return its row of the table."""
        shown = " | ".join(answers.get(column, "") for column in COLUMNS)
        return f"| {self.freeze.replace('-', ', ')} | {self.python} | {shown} |"


def main() -> int:
    """Check each environment; returns 0 when nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="four Airflows, without the suite")
    parser.add_argument("--no-suite", action="store_true", help="leave the suite out")
    parser.add_argument("--only", default="", help="only freezes with this in their name")
    parser.add_argument("--freeze", action="store_true", help="resolve the freezes again instead, and write them")
    parser.add_argument("--jobs", type=int, default=2, help="environments at a time")
    options = parser.parse_args()
    if options.freeze:
        for name, upper_date, _, requirements in _sources():
            if options.only in name:
                _freeze(name, upper_date, requirements)
        return 0
    freezes = SHORT if options.short else tuple(sorted(path.stem for path in FREEZES.glob("*.txt")))
    asked = os.environ.get("PYTHONS", "").split() or PYTHONS
    newest = {name: python for name, _, python, _ in _sources()}
    pythons = {each: found for each in asked if (found := _interpreter(each))}
    with tempfile.TemporaryDirectory(prefix="persona-matrix-") as made:
        wheel = _build(Path(made))
        rows = [f"| Airflow, dependencies | Python | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 2) + "|"]
        cells = [
            Cell(freeze, python, path)
            for freeze in freezes
            for python, path in pythons.values()
            if options.only in freeze and _numbers(python) <= _numbers(newest[freeze])
        ]
        with ThreadPoolExecutor(options.jobs) as pool:
            found = list(
                pool.map(
                    lambda cell: _check(cell, wheel, Path(made), has_suite=not (options.short or options.no_suite)),
                    cells,
                )
            )
        failed = sum("FAILS" in answers.values() for answers in found)
        rows += [cell.row(answers) for cell, answers in zip(cells, found, strict=True)]
    print("\n".join(rows))
    missing = [each for each in asked if each not in pythons]
    if missing:
        print(f"\nNot run, because this machine has no such Python: {', '.join(missing)}.")
    print(f"\n{len(rows) - 2 - failed} passed, {failed} failed")
    return 1 if failed else 0


def _sources() -> list[list[str]]:
    """Return of what each freeze is made: its name, upper date, the newest Python of that Airflow, and requirements."""
    lines = (FREEZES / "airflow.tsv").read_text().splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _freeze(name: str, upper_date: str, requirements: str) -> None:
    """Resolve one freeze; `lowest` is the oldest of each thing that setup.cfg allows, with the newest of the rest."""
    dated = [UV, "pip", "compile", "--quiet", "--python-version", PYTHONS[0], "--exclude-newer", upper_date]
    dated += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    wants = [str(FREEZES / "tools.in"), "-"]
    with tempfile.TemporaryDirectory() as folder:
        if requirements == "lowest":
            lowest = Path(folder) / "lowest.txt"
            extras = ["--extra", "simulator", "--extra", "parquet", "--resolution", "lowest-direct"]
            extras += ["--constraint", str(FREEZES / "lowest.in")]
            subprocess.run([*dated, str(ROOT / "setup.cfg"), *extras, "--output-file", str(lowest)], check=True)
            requirements = lowest.read_text()
        overrides = ["--universal", "--override", str(ROOT / "constraints" / "overrides.txt")]
        target = ["--output-file", str(FREEZES / f"{name}.txt")]
        subprocess.run(
            [*dated, *overrides, *wants, *target], input=requirements.replace(" ", "\n"), text=True, check=True
        )


def _interpreter(wanted: str) -> tuple[str, str] | None:
    """Return version and path of a Python, or None where there is none."""
    command = [UV, "python", "find", "--offline", "--no-project", wanted]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    if not found:
        return None
    asking = [found, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(asking, capture_output=True, text=True, check=True).stdout.strip(), found


def _build(folder: Path) -> Path:
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)], check=True)
    return next(folder.glob("*.whl"))


def _check(cell: Cell, wheel: Path, made: Path, *, has_suite: bool) -> dict[str, str]:
    """Set one environment up, check it, remove it; its row is shown at once, since the whole table takes long."""
    print(f"--- {cell.freeze}, Python {cell.python}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix=cell.freeze, dir=made) as folder:
        try:
            python = _environment(cell, wheel, Path(folder) / "env")
        except subprocess.CalledProcessError as error:
            print((error.stderr or "")[-_TAIL:], file=sys.stderr)
            return {"imports": "FAILS"}
        answers = _answers(python, Path(folder) / "work")
        if has_suite:
            answers["suite"] = _suite(python, Path(folder) / "suite")
        print(cell.row(answers), file=sys.stderr, flush=True)
        return answers


def _environment(cell: Cell, wheel: Path, folder: Path) -> Path:
    """Install the freeze, and then the wheel. All bounds of the wheel must hold in the freeze."""
    python = folder / "bin" / "python"
    target = ["--python", str(python)]
    wants = str(cell.wants)
    for command in (
        ["venv", "--python", cell.interpreter, str(folder)],
        ["pip", "install", *target, "--no-deps", "--requirements", wants],
        ["pip", "install", *target, "--constraints", wants, f"{wheel}[simulator,parquet]"],
    ):
        subprocess.run([UV, "--quiet", *command], check=True, stderr=subprocess.PIPE, text=True)
    return python


def _answers(python: Path, folder: Path) -> dict[str, str]:
    folder.mkdir()
    checks = ROOT / "tools" / "matrix_checks.py"
    done = subprocess.run(
        [python, str(checks), str(folder)], cwd=folder, env=_bare(), capture_output=True, text=True, check=False
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("ANSWERS ")]
    if done.returncode:
        print(done.stderr[-_TAIL * 2 :], file=sys.stderr)
    found: dict[str, str] = json.loads(said[-1].removeprefix("ANSWERS ")) if said else {"imports": "FAILS"}
    return found


def _suite(python: Path, folder: Path) -> str:
    """Run the tests of what a Dag's author uses, on copies beside which there is no package but the wheel's."""
    folder.mkdir()
    for name in COPIED:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, folder / name)
    # Of a failure the cause is wanted; a thousand lines of warnings and skips would stand after it.
    quiet = ["-q", "-rfE", "--disable-warnings", "--tb=short", "-p", "no:cacheprovider"]
    command = [python, "-m", "pytest", *quiet, *SUITE]
    done = subprocess.run(command, cwd=folder, env=_bare(), capture_output=True, text=True, check=False)
    passed = re.search(r"\d+ passed(, \d+ skipped)?", done.stdout)
    if done.returncode or passed is None:
        print(done.stdout[-_TAIL:], file=sys.stderr)
        return "FAILS"
    return passed[0]


def _bare() -> dict[str, str]:
    """Return this process's variables without those that a tool of the checkout sets."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON", "VIRTUAL"))}


if __name__ == "__main__":
    sys.exit(main())
