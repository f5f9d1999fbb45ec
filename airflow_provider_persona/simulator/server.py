"""The simulator as a server: in a thread of this process, or in a process of its own."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import TypeAdapter

from airflow_provider_persona.simulator.config import SimulatorConfig
from airflow_provider_persona.simulator.connections import ConnectionBook, booked_protocol
from airflow_provider_persona.simulator.control_client import SimulatorControl
from airflow_provider_persona.simulator.state_file import save_world

if TYPE_CHECKING:
    import uvicorn

    from airflow_provider_persona.simulator.application import SimulatorApp

_START_SECONDS = 20.0
READY = "Persona simulator ready:"


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class SimulatorServer(SimulatorControl):
    """A simulator in a thread of this process, on a loopback port; use it in a `with` statement.

    :param config: what it simulates; None is the default environment on a free port.
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        super().__init__("")
        self.config = config or SimulatorConfig()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._book = ConnectionBook()
        self._app: SimulatorApp | None = None

    def start(self) -> Self:
        """Begin to listen and return self; it does nothing when that is done already.

        :raises OSError: when the port is taken.
        """
        if self._thread is not None:
            return self
        import uvicorn

        from airflow_provider_persona.simulator.application import SimulatorApp

        self._app = SimulatorApp(self.config, self._book)
        listening = socket.create_server((self.config.host, self.config.port), backlog=2048)
        host, port = listening.getsockname()[:2]
        self._url = f"http://{host}:{port}"
        settings: Any = {
            "http": booked_protocol(self._book),
            "ws": "none",
            "loop": "none",
            "lifespan": "off",
            "log_level": "critical",
            "access_log": False,
            "server_header": False,
            "timeout_keep_alive": 75,
            "timeout_graceful_shutdown": 1,
        }
        self._server = uvicorn.Server(uvicorn.Config(self._app, **settings))
        self._loop = _event_loop()
        self._thread = threading.Thread(target=self._serve, args=(listening,), name="persona-simulator", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Drop every connection and end the thread."""
        if self._server is None or self._loop is None or self._thread is None:
            return
        self._server.should_exit = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._book.abort_all)
            self._thread.join(timeout=10)
        self._thread = None
        if self.config.state_file is not None and self._app is not None:
            save_world(self._app.environment.world, self.config.state_file)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _serve(self, listening: socket.socket) -> None:
        if self._loop is None or self._server is None:
            return
        try:
            self._loop.run_until_complete(self._server.serve(sockets=[listening]))
        finally:
            listening.close()
            self._loop.close()


class SimulatorProcess(SimulatorControl):
    """A simulator in a process of its own, so that it does not share this one's interpreter lock.

    :param config: what it simulates; None is the default environment on a free port.
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        super().__init__("")
        self.config = config or SimulatorConfig()
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        """Start the process and return self once it listens.

        :raises RuntimeError: when it ends instead.
        """
        command = [sys.executable, "-m", "airflow_provider_persona.simulator", "--config", "-"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the process has no pipes")
        self._process.stdin.write(TypeAdapter(SimulatorConfig).dump_json(self.config).decode())
        self._process.stdin.close()
        line = self._process.stdout.readline()
        if not line.startswith(READY):
            self.stop()
            raise RuntimeError("the simulator did not start; its error output says why")
        self._url = line.removeprefix(READY).split()[0]
        return self

    def stop(self) -> None:
        """End the process."""
        if self._process is None:
            return
        self._process.terminate()
        self._process.wait(timeout=15)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
