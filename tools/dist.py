"""`make dist`: build the wheel and the sdist into dist/, twice, and check what a release must be.

Run by the environment of `constraints/dist.txt`. Ends with 1 and the reason at the first thing that does not hold.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
EPOCH = "1767225600"
"""Time of each file in what is built, in seconds since 1970: 1 January 2026, unless SOURCE_DATE_EPOCH says another."""
NOT_YET = "AuthorEmail"
"""What pyroma asks for and nobody has given yet; see docs/releasing.md."""
TESTED_FROM_SDIST = ("tests/api/test_retry.py", "tests/test_version_compat.py")
"""What is run from the sdist: two files of tests prove that it has tests, fixtures and settings."""
_BUILD = (sys.executable, "-m", "build", "--no-isolation")
_LEFT_BY_TOOLS = (".venv*", ".demo", ".*_cache", "*.egg-info", "build", "dist", "__pycache__", "_build")
_RELATIVE_LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)]+)\)")


def main() -> int:
    """Build and check; returns 0 when all holds."""
    os.environ.setdefault("SOURCE_DATE_EPOCH", EPOCH)
    for check in (_build_twice, _metadata, _wheel_holds_the_examples, _readme, _sdist_runs_tests):
        print(f"{check.__name__.strip('_').replace('_', ' ')}: {check()}", flush=True)
    return 0


def _build_twice() -> str:
    shutil.rmtree(DIST, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="persona-dist-") as second:
        for folder in (DIST, Path(second)):
            # From a copy: an earlier build's egg-info would tell the sdist which files there were then.
            with tempfile.TemporaryDirectory(prefix="persona-source-") as source:
                _copy_sources(Path(source) / "source")
                command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
                done = subprocess.run(
                    [*command, str(Path(source) / "source")], capture_output=True, text=True, check=False
                )
                if done.returncode:
                    _stop(f"the build failed: {done.stderr[-2000:]}{done.stdout[-2000:]}")
        sums = [{path.name: _content(path) for path in folder.iterdir()} for folder in (DIST, Path(second))]
    if sums[0] != sums[1]:
        _stop(f"two builds differ: {sums}")
    return ", ".join(sorted(sums[0]))


def _copy_sources(target: Path) -> None:
    """Copy what a clone has; without git, all but what tools leave."""
    listing = ["git", "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        shutil.copytree(ROOT, target, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_BY_TOOLS))
        return
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, copy = ROOT / name, target / name
        if source.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)


def _content(path: Path) -> str:
    """Return the hash of a wheel; of an sdist that of its files, since gzip notes the time of packing."""
    if path.suffix == ".whl":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    with tarfile.open(path) as archive:
        parts = [(each.name, archive.extractfile(each).read() if each.isfile() else b"") for each in archive]  # type: ignore[union-attr]
    return hashlib.sha256(repr(sorted(parts)).encode()).hexdigest()


def _metadata() -> str:
    wheel, sdist = str(next(DIST.glob("*.whl"))), str(next(DIST.glob("*.tar.gz")))
    _run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    _run(str(Path(sys.executable).parent / "check-wheel-contents"), wheel)
    said = _run(str(Path(sys.executable).parent / "pyroma"), "--skip-tests", NOT_YET, "--min", "10", sdist)
    return f"twine, check-wheel-contents, pyroma {re.findall(r'[0-9]+/10', said)[-1]}"


def _wheel_holds_the_examples() -> str:
    with zipfile.ZipFile(next(DIST.glob("*.whl"))) as wheel:
        prefix = "airflow_provider_persona/example_dags/"
        held = {name.removeprefix(prefix): wheel.read(name) for name in wheel.namelist() if name.startswith(prefix)}
        outside = {name.split("/")[0] for name in wheel.namelist()}
    there = {str(path.relative_to(ROOT / "dags")): path.read_bytes() for path in (ROOT / "dags").rglob("*.*")}
    there = {name: content for name, content in there.items() if not name.endswith(".pyc")}
    if held != there:
        _stop(f"example_dags has {sorted(held)}, dags/ has {sorted(there)}")
    if strange := {each for each in outside if not each.startswith(("airflow_provider_persona", "persona_simulator"))}:
        _stop(f"the wheel has {sorted(strange)} beside the two packages")
    return f"{len(held)} files"


def _readme() -> str:
    """Relative links lead nowhere on PyPI."""
    found = _RELATIVE_LINK.findall((ROOT / "README.md").read_text("utf-8"))
    if found:
        _stop(f"the README links to {found}, which PyPI does not have")
    return "no link leads nowhere on PyPI"


def _sdist_runs_tests() -> str:
    """Unpack the sdist and run tests there, with the Python of the tests' environment."""
    python = os.environ.get("TEST_PYTHON")
    if not python:
        return "not run: TEST_PYTHON names no environment"
    with tempfile.TemporaryDirectory(prefix="persona-sdist-") as folder:
        with tarfile.open(next(DIST.glob("*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        (unpacked,) = Path(folder).iterdir()
        command = [str(Path(python).absolute()), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        said = _run(*command, *TESTED_FROM_SDIST, cwd=unpacked)
    return said.splitlines()[-1]


def _run(*command: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        _stop(f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout + done.stderr


def _stop(reason: str) -> NoReturn:
    sys.exit(f"not fit to be published: {reason}")


if __name__ == "__main__":
    sys.exit(main())
