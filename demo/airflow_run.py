"""Run Airflow's own command line, in an Airflow home of its own, with two connections in the environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import ENDING
from persona_simulator.loopback import without_proxy

DAG_ID = "persona_bulk_update"
_DAGS = Path(__file__).parent.parent / "dags"
_SECONDS_TO_END = 10


@dataclass(frozen=True, slots=True)
class AirflowRun:
    """One run of the main Dag.

    :param folder: folder for Airflow's home, the log and the state.
    :param persona: address of Persona.
    :param key: its API key.
    :param warehouse: file of the SQLite warehouse.
    """

    folder: Path
    persona: str
    key: str
    warehouse: Path

    @property
    def log(self) -> Path:
        """All that Airflow printed."""
        return self.folder / "airflow.log"

    @property
    def state(self) -> Path:
        """Where plan and ledger go."""
        return self.folder / "state"

    def lines(self) -> Iterator[str]:
        """Make the metadata database and run the Dag; yield each line that it prints.

        :raises subprocess.CalledProcessError: when a command failed.
        """
        for command in (["db", "migrate"], ["dags", "test", DAG_ID, "--conf", '{"dry_run": false}']):
            yield from self._airflow(*command)

    def _airflow(self, *command: str) -> Iterator[str]:
        arguments = [sys.executable, "-W", "ignore", "-m", "airflow", *command]
        with self.log.open("a") as log, _ended_with_us(arguments, self._environment()) as airflow:
            assert airflow.stdout is not None
            for line in airflow.stdout:
                log.write(line)
                yield line
        if airflow.returncode:
            raise subprocess.CalledProcessError(airflow.returncode, ["airflow", *command])

    def _environment(self) -> dict[str, str]:
        home = self.folder / "airflow"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        return inherited | {
            **without_proxy(inherited),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(_DAGS),
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "2",  # Airflow's 300 s would look as if it hung
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__PERSONA__STATE_PATH": str(self.state),
            "AIRFLOW_CONN_PERSONA_DEFAULT": json.dumps(
                {"conn_type": "persona", "host": self.persona, "password": self.key}
            ),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(self.warehouse)}),
            "PYTHONUNBUFFERED": "1",
        }


@contextmanager
def _ended_with_us(arguments: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a process, and end it when this one is stopped; `Popen` itself would wait until it has finished.

    A signal that comes while it starts is held back until then. Raised within `Popen` it would leave the process
    behind, and the new process misses it while it is still a copy of this one.
    """
    came: list[int] = []
    handlers = {number: signal.signal(number, lambda number, _: came.append(number)) for number in ENDING}
    try:
        process = subprocess.Popen(
            arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError:
        _restore(handlers)
        raise
    with process:
        try:
            _restore(handlers)
            for number in came:
                signal.raise_signal(number)
            yield process
        except BaseException:
            process.terminate()
            try:
                process.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


def _restore(handlers: Mapping[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
