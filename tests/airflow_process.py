"""Programs in a process of their own that has Airflow imported already, which takes some four seconds of CPU otherwise.

Each is forked from one process that holds Airflow and nothing of ours, and none of the modules of which a test may ask
whether ours import them. A forked process has its own memory, environment and output, and a test may kill it.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from persona_simulator import SimulatorControl

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.airflow_imports"])


class AirflowProcess:
    """One program that runs; use it in a `with` statement, which ends it.

    :param program: a script, or the text of a program.
    :param arguments: its command line.
    :param environment: instead of this process's environment variables; Airflow's own settings were read before.
    :param cwd: its working directory.
    """

    def __init__(
        self,
        program: Path | str,
        arguments: Sequence[str] = (),
        *,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="persona-process-")
        self._out, self._err = (Path(self._folder.name, name) for name in ("out", "err"))
        for path in (self._out, self._err):
            path.touch()
        given = (program, list(arguments), dict(os.environ if environment is None else environment), cwd)
        self._process = _FORKS.Process(target=_run, args=(*given, self._out, self._err), daemon=True)
        self._process.start()

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return self._out.read_text("utf-8")

    @property
    def stderr(self) -> str:
        """What it has printed to its error output so far."""
        return self._err.read_text("utf-8")

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.is_alive()

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._process.kill()
        self._process.join()

    def wait(self, timeout: float = 100) -> int:
        """Wait for its end and return its exit status.

        :raises TimeoutError: when it runs on for `timeout` seconds.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError(f"the program still runs after {timeout:g} s: {self.stderr[-2000:]}")
        return self._process.exitcode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()


def run_program(program: Path | str, arguments: Sequence[str] = (), **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program to its end.

    :param options: as for `AirflowProcess`.
    :returns: its exit status and output, whatever they are.
    """
    with AirflowProcess(program, arguments, **options) as process:
        status = process.wait()
        return subprocess.CompletedProcess([str(program), *arguments], status, process.stdout, process.stderr)


def wait_for_what_was_sent(sim: SimulatorControl) -> None:
    """Wait until the simulator has answered all that a process had sent before it was killed."""
    sim.state()  # once this is answered, all of it has arrived
    while not all(request.status for request in sim.requests()):
        time.sleep(0.002)


def _run(
    program: Path | str, arguments: list[str], environment: dict[str, str], cwd: Path | None, out: Path, err: Path
) -> None:
    """Be the program, in the forked process."""
    for path, descriptor in ((out, 1), (err, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    if cwd is not None:
        os.chdir(cwd)
    warnings.simplefilter("ignore")
    sys.argv = [str(program) if isinstance(program, Path) else "-c", *arguments]
    status: Any = 0
    try:
        if isinstance(program, Path):
            sys.path.insert(0, str(program.parent))
            runpy.run_path(str(program), run_name="__main__")
        else:
            exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - as Python itself reports what ends a program
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(status)
