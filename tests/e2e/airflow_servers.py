"""A whole Airflow 3 of its own, as a company runs it: PostgreSQL, Celery over Redis, two workers; all as processes.

The database is a new one, and keys in Redis have a prefix of their own; both are removed in the end. Every server
begins a session, by which it is found and killed with whatever it has started.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import psutil

T = TypeVar("T")

POSTGRES, REDIS = ("127.0.0.1", 5432), ("127.0.0.1", 6379)
WORKERS = ("worker-one", "worker-two")
SERVERS = ("api-server", "scheduler", "dag-processor", "triggerer", *WORKERS)
_AT_ONCE = "2"
"""Tasks that one worker runs at once."""

_ADDRESS = "postgres@{}:{}".format(*POSTGRES)
_REDIS_DATABASE = 15
_ENTRY = re.compile(r"\n(?=\d{4}-\d\d-\d\dT|\{)")
"""Between two entries of a log, of which one may have several lines."""
_NOISE = re.compile(r"\[debug |\"level\":\"debug\"|\[http\.access\]")


class AirflowServers:
    """Starts everything in a `with` statement, and ends it.

    :param home: a folder for it, with the folder `dags` in it.
    :param settings: environment variables of Airflow, replacing those here.
    """

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self._name = f"persona_e2e_{uuid.uuid4().hex[:12]}"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.api = f"http://127.0.0.1:{free_port()}"
        self._token = ""
        own = _settings(home, self._address("postgresql+psycopg2"), self.api, self._name)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
        self._env = {**kept, **{f"AIRFLOW__{name}": value for name, value in own.items()}, **settings}
        self._env |= {"AIRFLOW_HOME": str(home), "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}

    def __enter__(self) -> Self:
        try:
            _postgres(f"CREATE DATABASE {self._name}")
            for name in WORKERS:  # they do not look at the database, so they may start while it is filled
                self.start(name)
            self._migrate()
            for name in SERVERS:
                if name not in WORKERS:
                    self.start(name)
            self.until(self._is_ready, 180, "all servers are ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for name in list(self._running):
                self.kill(name)
        finally:
            _postgres(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")
            forget_redis_keys(self._name)

    def start_api_of(self, auth_manager: str, users: Mapping[str, str]) -> str:
        """Start a second API server on the same database, and return its address when it answers.

        :param auth_manager: class path of its auth manager, from the root of the repository.
        :param users: passwords of its users, who may read only.
        """
        address = f"http://127.0.0.1:{free_port()}"
        passwords = self.home / "passwords.json"
        passwords.write_text(json.dumps(users))
        own = {
            "CORE__AUTH_MANAGER": auth_manager,
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:viewer" for name in users),
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "API__PORT": address.rpartition(":")[2],
            "API__BASE_URL": f"{address}/",
        }
        env = {f"AIRFLOW__{name}": value for name, value in own.items()} | {
            "PYTHONPATH": str(Path(__file__).parents[2])
        }
        self.start("api-server", called="api-server-of-users", env=env)
        self.until(lambda: _answers("127.0.0.1", int(address.rpartition(":")[2])), 120, "the second API server")
        return address

    def start(self, name: str, *, called: str = "", env: Mapping[str, str] | None = None) -> None:
        """Start a server.

        :param name: what it is.
        :param called: its own name, where there is another one of its sort.
        :param env: environment variables in place of the others.
        """
        words = [name]
        if name in WORKERS:
            pid_file = str(self.home / f"{name}-{time.monotonic_ns()}.pid")
            words = ["celery", "worker", "-H", f"{name}@%h", "-c", _AT_ONCE, "--skip-serve-logs", "--pid", pid_file]
            words += ["--without-gossip", "--without-mingle"]
        name = called or name
        with self.log_file(name).open("ab") as log:
            command = [sys.executable, "-m", "airflow", *words]
            own_env = {**self._env, **(env or {})}
            self._running[name] = subprocess.Popen(
                command, env=own_env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, name: str) -> None:
        """End a server and whatever it started, as the loss of its machine does."""
        process = self._running.pop(name)
        while members := _session(process.pid):  # until none is left that could have forked meanwhile
            for member in members:
                with suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)
            time.sleep(0.02)
        process.wait(15)

    def shut_down(self, name: str, seconds: float = 30) -> None:
        """Shut a worker down as Celery's cold shutdown does: its tasks get SIGTERM, and may end."""
        self._running[name].send_signal(signal.SIGQUIT)
        with suppress(subprocess.TimeoutExpired):
            self._running[name].wait(seconds)
        self.kill(name)

    def server_of(self, pid: int) -> str:
        """Return the server that started a process."""
        session = os.getsid(pid)
        return next(name for name, process in self._running.items() if process.pid == session)

    def log_file(self, name: str) -> Path:
        """Return where a server's output goes."""
        return self.home / f"{name}.log"

    def log(self, name: str) -> str:
        """Return what a server said."""
        return self.log_file(name).read_text(errors="replace") if self.log_file(name).exists() else ""

    def task_logs(self, dag_id: str = "*") -> dict[Path, str]:
        """Return the tasks' logs by their files."""
        found = self.home.glob(f"logs/dag_id={dag_id}/**/*.log")
        return {path: path.read_text(errors="replace") for path in sorted(found)}

    def tails(self, lines: int = 40) -> Iterator[tuple[str, str]]:
        """Yield the end of each server's and of the latest tasks' logs, without what is there for debugging."""
        latest = sorted(self.task_logs(), key=lambda path: path.stat().st_mtime)[-4:]
        for path in [self.log_file(name) for name in ("airflow-db", *SERVERS)] + latest:
            if path.exists():
                said = [entry for entry in _ENTRY.split(path.read_text(errors="replace")) if not _NOISE.search(entry)]
                yield str(path), "\n".join("\n".join(said).splitlines()[-lines:])

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the metadata database."""
        import psycopg2

        with closing(psycopg2.connect(self._address("postgresql"))) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def until(self, look: Callable[[], T], seconds: float, what: str) -> T:
        """Look again and again until there is something, and return it."""
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                return found
            gone = [name for name, process in self._running.items() if process.poll() is not None]
            if gone:
                raise AssertionError(f"{what}: {', '.join(gone)} ended")
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {seconds} s")
            time.sleep(0.2)

    def rest(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Call Airflow's REST API."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.api}/{path}", data, headers, method=method)
        try:
            with urlopen(request, timeout=60) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except HTTPError as error:
            with error:
                raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()[:500]}") from None

    def connect(self, conn_id: str, **fields: Any) -> None:
        """Add a connection."""
        self.rest("POST", "api/v2/connections", {"connection_id": conn_id, **fields})

    def pause(self, dag_id: str, *, is_paused: bool) -> None:
        """Pause or unpause a Dag."""
        self.rest("PATCH", f"api/v2/dags/{dag_id}", {"is_paused": is_paused})

    def parse(self, dag_id: str) -> None:
        """Let the Dag processor read a Dag's file again, as it does every half minute otherwise."""
        token = self.rest("GET", f"api/v2/dags/{dag_id}/details")["file_token"]
        self.rest("PUT", f"api/v2/parseDagFile/{token}")

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Unpause and run a Dag, and return the run's id."""
        self.pause(dag_id, is_paused=False)
        run = self.rest("POST", f"api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def tasks(self, dag_id: str, run_id: str = "~") -> list[dict[str, Any]]:
        """Return the task instances of a run, or of all runs of a Dag."""
        found = self.rest("GET", f"api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")
        instances: list[dict[str, Any]] = found["task_instances"]
        return instances

    def until_success(self, dag_id: str, run_id: str, seconds: float) -> None:
        """Wait for a run to succeed."""

        def ended() -> bool:
            state = self.rest("GET", f"api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"]
            assert state != "failed", f"the run {run_id} of {dag_id} failed"
            return bool(state == "success")

        self.until(ended, seconds, f"{dag_id} succeeds")

    def mark_failed(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Mark a task as failed, as a person does on its page."""
        path = f"api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self.rest("PATCH", path, {"new_state": "failed"})

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task, as a person does on its page."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False}
        self.rest("POST", f"api/v2/dags/{dag_id}/clearTaskInstances", body)

    def result(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, key: str = "return_value") -> Any:
        """Return what a task returned, or pushed under a key."""
        path = f"api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.rest("GET", f"{path}?deserialize=true&map_index={map_index}")["value"]

    def tables_with(self, text: str) -> list[str]:
        """Return the tables of the metadata database in which some row holds a text."""
        tables = [name for (name,) in self.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        found = "SELECT count(*) FROM \"{}\" AS row WHERE row::text LIKE '%{}%'"
        return [name for name in tables if self.query(found.format(name, text)) != [(0,)]]

    def _migrate(self) -> None:
        with self.log_file("airflow-db").open("ab") as log:
            command = [sys.executable, "-m", "airflow", "db", "migrate"]
            subprocess.run(command, env=self._env, check=True, stdout=log, stderr=log, timeout=180)

    def _is_ready(self) -> bool:
        try:
            if not self._token:
                self._token = self.rest("GET", "auth/token")["access_token"]
            health = self.rest("GET", "api/v2/monitor/health")
            dags = self.rest("GET", "api/v2/dags")["dags"]
        except (URLError, ConnectionError, TimeoutError):
            return False
        if errors := self.rest("GET", "api/v2/importErrors")["import_errors"]:
            raise AssertionError(f"a Dag cannot be read: {errors}")
        are_healthy = all(health[name]["status"] == "healthy" for name in ("scheduler", "triggerer", "dag_processor"))
        files = {dag["relative_fileloc"] for dag in dags}
        with_dags = [path.name for path in self.home.glob("dags/*.py") if path.name != "__init__.py"]
        are_there = files.issuperset(with_dags)
        return are_healthy and are_there and all(" ready." in self.log(name) for name in WORKERS)

    def _address(self, scheme: str) -> str:
        return f"{scheme}://{_ADDRESS}/{self._name}"


def missing_servers() -> list[str]:
    """Return the servers that this needs and that do not answer."""
    named = {"PostgreSQL": POSTGRES, "Redis": REDIS}
    return ["{} on {}:{}".format(name, *address) for name, address in named.items() if not _answers(*address)]


def forget_redis_keys(prefix: str) -> None:
    """Remove all keys in Redis that begin with a prefix."""
    with _redis() as redis:
        keys = list(redis.scan_iter(f"{prefix}*"))
        if keys:
            redis.delete(*keys)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _settings(home: Path, database: str, api: str, queue: str) -> dict[str, str]:
    return {
        "CORE__DAGS_FOLDER": str(home / "dags"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "CeleryExecutor",
        "CORE__EXECUTION_API_SERVER_URL": f"{api}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "DATABASE__SQL_ALCHEMY_CONN": database,
        "API__HOST": "127.0.0.1",
        "API__PORT": api.rpartition(":")[2],
        "API__WORKERS": "1",
        "API__SECRET_KEY": secrets.token_hex(),
        "API_AUTH__JWT_SECRET": secrets.token_hex(),
        "OPERATORS__DEFAULT_QUEUE": queue,
        "CELERY__BROKER_URL": "redis://{}:{}/{}".format(*REDIS, _REDIS_DATABASE),
        "CELERY__WORKER_ENABLE_REMOTE_CONTROL": "False",
        "CELERY__SYNC_PARALLELISM": "1",
        "CELERY_BROKER_TRANSPORT_OPTIONS__GLOBAL_KEYPREFIX": queue,
        "CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "3600",
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "LOGGING__LOGGING_LEVEL": "DEBUG",
        "LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        "DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_INTERVAL": "0",
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "SCHEDULER__PARSING_CLEANUP_INTERVAL": "3600",
        # A worker that is gone is noticed within seconds instead of minutes.
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "12",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
        "TRIGGERER__JOB_HEARTBEAT_SEC": "1",
        "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
        # Dags that enable it tell what they read and wrote, a file for each event.
        "OPENLINEAGE__SELECTIVE_ENABLE": "True",
        "OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": str(home / "lineage.jsonl"), "append": True}
        ),
        "PERSONA__STATE_PATH": str(home / "state"),
    }


def _session(leader: int) -> list[int]:
    """Return the living processes of a session."""
    members = []
    for process in psutil.process_iter(["pid", "status"]):
        with suppress(ProcessLookupError, PermissionError):
            if process.info["status"] != psutil.STATUS_ZOMBIE and os.getsid(process.pid) == leader:
                members.append(process.pid)
    return members


def _postgres(sql: str) -> None:
    import psycopg2

    with closing(psycopg2.connect(f"postgresql://{_ADDRESS}/postgres")) as connected:
        connected.autocommit = True
        with connected.cursor() as cursor:
            cursor.execute(sql)


def _redis() -> Any:
    from redis import Redis

    return Redis(*REDIS, db=_REDIS_DATABASE)


def _answers(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0
