"""The simulator as a server: in a thread of this process, or in a process of its own."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import TypeAdapter

from persona_simulator.config import SimulatorConfig
from persona_simulator.connections import ConnectionBook, booked_protocol
from persona_simulator.control_client import SimulatorControl
from persona_simulator.state_file import save_world

if TYPE_CHECKING:
    import uvicorn

    from persona_simulator.simulation import Simulation

_START_SECONDS = 20.0
READY = "Persona simulator ready:"


def _uvicorn_and_protocol(book: ConnectionBook) -> tuple[ModuleType, type[asyncio.Protocol]]:
    """Return uvicorn and its protocol that enters connections in `book`.

    :raises ModuleNotFoundError: when a package is missing; it names the extra that installs it.
    """
    try:
        import uvicorn

        return uvicorn, booked_protocol(book)
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"the simulator needs {missing.name}: pip install 'airflow-provider-persona[simulator]'", name=missing.name
        ) from None


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class SimulatorServer(SimulatorControl):
    """A simulator in a thread of this process, on a port of its own; use it in a `with` statement.

    :param config: what it simulates; None is the default environment on a free port.
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        self.config = config or SimulatorConfig()
        super().__init__("", self.config.control_token)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._book = ConnectionBook()
        self._simulation: Simulation | None = None

    def start(self) -> Self:
        """Begin to listen and return self; it does nothing when that is done already.

        :raises OSError: when the port is taken.
        :raises ModuleNotFoundError: when the extra `simulator` is not installed.
        """
        if self._thread is not None:
            return self
        uvicorn, protocol = _uvicorn_and_protocol(self._book)
        from persona_simulator.application import SimulatorApp
        from persona_simulator.simulation import Simulation

        self._simulation = Simulation(self.config, self._book)
        listening = socket.create_server((self.config.host, self.config.port), backlog=2048)
        host, port = listening.getsockname()[:2]
        self._url = f"http://{host}:{port}"
        settings: Any = {
            "http": protocol,
            "ws": "none",
            "loop": "none",
            "lifespan": "off",
            "log_level": "critical",
            "access_log": False,
            "server_header": False,
            "date_header": False,  # the simulator has a clock of its own
            "timeout_keep_alive": 75,
            "timeout_graceful_shutdown": 1,
        }
        self._server = uvicorn.Server(uvicorn.Config(SimulatorApp(self._simulation), **settings))
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
        if self.config.state_file is not None and self._simulation is not None:
            save_world(self._simulation.environment.world, self.config.state_file)

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


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Start a process that gets no Ctrl-C before it asks for it: while it imports it could only print a traceback."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
        command = [sys.executable, "-m", "persona_simulator", "--config", "-"]
        with _interrupts_later():
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        try:
            self._url = self._address(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def _address(self, process: subprocess.Popen[str]) -> str:
        """Tell the process what to simulate, and return where it listens."""
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process has no pipes")
        process.stdin.write(TypeAdapter(SimulatorConfig).dump_json(self.config).decode())
        process.stdin.close()
        line = process.stdout.readline()
        if not line.startswith(READY):
            raise RuntimeError("the simulator did not start; its error output says why")
        return line.removeprefix(READY).split()[0]

    def stop(self) -> None:
        """End the process."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
