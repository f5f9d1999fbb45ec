"""What `make matrix` asks of an environment with the wheel in it; its Python runs this outside the checkout.

Each check is a function of one argument, the folder it may write to. It returns what it found, or raises.
`NotThereError` says that this Airflow has nothing to check. The answer to all is printed as one JSON object.

Airflow's commands and the killed runs are forks of this process, which has imported Airflow already: imports are half
of what the checks would take otherwise.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import pkgutil
import re
import shutil
import signal
import sqlite3
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

KILLED_AFTER = 40
_SENSOR_DAG = """
from datetime import UTC, datetime
from airflow_provider_persona.sensors.cases import PersonaCaseSensor
from airflow_provider_persona.version_compat import DAG

with DAG("matrix_sensor", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False):
    PersonaCaseSensor(task_id="wait", case_id="{{ dag_run.conf['case_id'] }}", target_statuses=["Declined"],
                      deferrable=True, poke_interval=1, timeout=60)
"""


class NotThereError(Exception):
    """This Airflow has nothing of the kind."""


def imports(folder: Path) -> str:
    """Import every module of the package; the plugin's pages only where Airflow has a place for them."""
    package = importlib.import_module("airflow_provider_persona")
    if Path.cwd() in Path(str(package.__file__)).parents:
        raise RuntimeError(f"{package.__file__} is not the installed package")
    found = [each.name for each in pkgutil.walk_packages(package.__path__, "airflow_provider_persona.")]
    from airflow_provider_persona.version_compat import AIRFLOW_V_3_1_PLUS

    if not AIRFLOW_V_3_1_PLUS:
        found = [name for name in found if not name.startswith("airflow_provider_persona.pages")]
    for name in found:
        importlib.import_module(name)
    return f"{len(found)} modules"


def provider(folder: Path) -> str:
    """Let Airflow's command line show the provider."""
    shown = _airflow("providers", "get", "airflow-provider-persona", "-o", "json")
    if "airflow-provider-persona" not in shown:
        raise RuntimeError(f"Airflow shows {shown[-500:]}")
    return "shown"


def dags(folder: Path) -> str:
    """Parse the example Dags that the wheel brings."""
    from airflow_provider_persona.version_compat import AIRFLOW_V_3_2_PLUS

    module = "airflow.dag_processing.dagbag" if AIRFLOW_V_3_2_PLUS else "airflow.models.dagbag"
    bag = importlib.import_module(module).DagBag(str(_examples()))
    if bag.import_errors:
        raise RuntimeError(json.dumps(bag.import_errors)[-2000:])
    return f"{len(bag.dags)} Dags"


def approval(folder: Path) -> str:
    """Parse the Dag with an approval, where Airflow has one; a whole run needs a scheduler, so `make e2e` does that."""
    from airflow_provider_persona.version_compat import AIRFLOW_V_3_1_PLUS

    if not AIRFLOW_V_3_1_PLUS:
        raise NotThereError
    module = importlib.import_module("airflow_provider_persona.example_dags.persona_plan_approve_apply")
    return "parses" if module.approve.defaults == ["Reject"] else "no default"


def connection(folder: Path) -> str:
    """Test the connection as `airflow connections test` does."""
    with _persona():
        shown = _airflow("connections", "test", "persona_default")
    if "Connection success!" not in shown:
        raise RuntimeError(shown[-1000:])
    return "success"


def bulk(folder: Path) -> str:
    """Run the main Dag through `airflow dags test`, and ask the simulator what happened."""
    with _persona() as persona:
        decided = _warehouse(folder, persona, 200)
        _airflow("dags", "test", "persona_bulk_update", "--conf", '{"dry_run": false}')
        changed = Counter(effect.case_id for effect in persona.journal())
    if changed != Counter(decided):
        raise RuntimeError(f"{len(decided)} rows, but {changed.total()} changes of {len(changed)} cases")
    return f"{len(decided)} rows"


def sensor(folder: Path) -> str:
    """Run a deferrable sensor through `airflow dags test`; the case gets its status while the sensor waits."""
    with _persona() as persona:
        case_id = next(each for each, status in persona.statuses().items() if status == "Open")
        conf = json.dumps({"case_id": case_id})
        with _Fork(lambda: _command("dags", "test", "matrix_sensor", "--conf", conf)) as running:
            lines = []
            for line in running.output:
                lines.append(line)
                if persona.statuses()[case_id] == "Open" and any(case_id in each.path for each in persona.requests()):
                    persona.act_as_human(case_id, status="Declined")
    text = "".join(lines)
    if running.returncode or "state=success" not in text.replace("state:success", "state=success"):
        raise RuntimeError(text[-1500:])
    if not re.search("defer|running trigger", text, re.IGNORECASE):
        raise RuntimeError(f"it never deferred: {text[-1500:]}")
    return "deferred, resumed"


def event(folder: Path) -> str:
    """Let the event trigger report a change."""
    from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS

    if not AIRFLOW_V_3_0_PLUS:
        raise NotThereError
    from airflow_provider_persona.triggers.events import PersonaEventTrigger

    async def first(persona: Any, case_id: str) -> Any:
        trigger = PersonaEventTrigger(["case.status-updated"], poll_interval=0.1)

        async def change() -> None:
            while not persona.requests():  # noqa: ASYNC110 - the simulator is another process
                await asyncio.sleep(0.1)
            await asyncio.to_thread(persona.act_as_human, case_id, "Declined")

        changing = asyncio.create_task(change())
        async with asyncio.timeout(60), aclosing(trigger.run()) as stream:
            async for told in stream:
                await changing
                return told.payload
        raise RuntimeError("the trigger ended")

    with _persona() as persona:
        case_id = next(each for each, status in persona.statuses().items() if status == "Open")
        told = asyncio.run(first(persona, case_id))
    if told["object_id"] != case_id:
        raise RuntimeError(f"{told} is about another case")
    return "reported"


def resume(folder: Path) -> str:
    """Kill a bulk run, resume it, and ask the simulator whether each case was changed once."""
    with _persona(latency_ms=40) as persona:
        decided = _warehouse(folder, persona, 200)
        with _Fork(lambda: _bulk_try(1)) as first:
            while len(persona.journal()) < KILLED_AFTER and not first.has_ended():
                time.sleep(0.01)
            os.kill(first.pid, signal.SIGKILL)
            text = first.output.read()
        if first.returncode != -signal.SIGKILL:
            raise RuntimeError(f"the first try ended: {text[-2000:]}")
        before = len(persona.journal())
        _output_of(lambda: _bulk_try(2))
        changed = Counter(effect.case_id for effect in persona.journal())
    if changed != Counter(decided) or before == len(decided):
        raise RuntimeError(f"{len(decided)} rows, {before} changed before the kill, {changed.total()} in all")
    return f"killed after {before} of {len(decided)}"


def _examples() -> Path:
    return Path(str(importlib.import_module("airflow_provider_persona").__file__)).parent / "example_dags"


@contextmanager
def _persona(**settings: Any) -> Iterator[Any]:
    """Run a simulator behind the connection `persona_default`."""
    from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorProcess

    config = SimulatorConfig(cases=600, limit=1_000_000, search_lag_seconds=0, **settings)
    with SimulatorProcess(config) as persona:
        found = {"conn_type": "persona", "host": persona.url, "password": SANDBOX_KEY}
        os.environ["AIRFLOW_CONN_PERSONA_DEFAULT"] = json.dumps(found)
        yield persona


def _warehouse(folder: Path, persona: Any, count: int) -> list[str]:
    decided = [case_id for case_id, status in persona.statuses().items() if status == "Open"][:count]
    path = folder / "warehouse.sqlite"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE case_decisions (case_id TEXT, new_status TEXT, expected_status TEXT)")
        db.executemany("INSERT INTO case_decisions VALUES (?, 'Declined', NULL)", [(each,) for each in decided])
    os.environ["AIRFLOW_CONN_WAREHOUSE"] = json.dumps({"conn_type": "sqlite", "host": str(path)})
    return decided


def _bulk_try(number: int) -> None:
    """Run the bulk update of the warehouse's decisions as the n-th try of a task."""
    from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator

    ti = SimpleNamespace(dag_id="matrix", run_id="r", task_id="update", map_index=-1, max_tries=3, try_number=number)
    ti.start_date, ti.xcom_push = None, lambda *_, **__: None
    sql = "SELECT case_id, new_status AS status FROM case_decisions"
    SqlToPersonaCasesOperator(task_id="update", sql=sql, sql_conn_id="warehouse", retries=3).execute({"ti": ti})


class _Fork:
    """A fork of this process that runs a function; use it in a `with` statement, which waits for its end.

    `output` is all that it prints, and `returncode` is as `subprocess` has it.
    """

    def __init__(self, run: Callable[[], None]) -> None:
        self.returncode: int | None = None
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(writing, 1)
            os.dup2(writing, 2)
            os._exit(_status_of(run))
        os.close(writing)
        self.output = os.fdopen(reading, encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.output.close()
        while not self.has_ended():
            time.sleep(0.01)

    def has_ended(self) -> bool:
        """Whether it has."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode is not None


def _status_of(run: Callable[[], None]) -> int:
    """Run a function as a program, and return its status."""
    status = 0
    try:
        run()
    except SystemExit as asked:
        status = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    except BaseException:  # noqa: BLE001 - a program ends with its traceback
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _command(*command: str) -> None:
    """Be Airflow's command line."""
    from airflow.__main__ import main as airflow_main

    sys.argv = ["airflow", *command]
    airflow_main()


def _output_of(run: Callable[[], None]) -> str:
    with _Fork(run) as running:
        text = running.output.read()
    if running.returncode:
        raise RuntimeError(f"ended with {running.returncode}: {text[-2000:]}")
    return text


def _airflow(*command: str) -> str:
    return _output_of(lambda: _command(*command))


def _set_up(folder: Path) -> None:
    home, own = folder / "airflow", folder / "dags"
    os.environ.update(
        {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(own),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__PERSONA__STATE_PATH": str(folder / "state"),
            "PYTHONUNBUFFERED": "1",
            "NO_PROXY": "*",
            "no_proxy": "*",
        }
    )
    if importlib.import_module("importlib.metadata").version("apache-airflow").startswith("2."):
        os.environ["AIRFLOW__CORE__EXECUTOR"] = "SequentialExecutor"
    warnings.simplefilter("ignore")
    shutil.copytree(_examples(), own)
    (own / "matrix_sensor.py").write_text(_SENSOR_DAG)
    _airflow("db", "migrate")


CHECKS: list[Callable[[Path], str]] = [imports, provider, dags, connection, bulk, sensor, event, approval, resume]


def main() -> int:
    """Run all checks in the folder given; returns how many failed."""
    folder = Path(sys.argv[1]).resolve()
    _set_up(folder)
    answers: dict[str, str] = {}
    failed = 0
    for check in CHECKS:
        began = time.monotonic()
        try:
            answers[check.__name__] = check(folder)
        except NotThereError:
            answers[check.__name__] = "-"
        except Exception:  # noqa: BLE001 - whatever it is, the other checks follow
            failed += 1
            answers[check.__name__] = "FAILS"
            traceback.print_exc()
        print(f"{check.__name__}: {time.monotonic() - began:.1f} s", file=sys.stderr)
    print("ANSWERS " + json.dumps(answers), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
