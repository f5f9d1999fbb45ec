"""The command line and the simulator in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import requests

from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorControl, SimulatorProcess

COMMAND = [sys.executable, "-m", "persona_simulator", "--port", "0", "--cases", "7"]


def _start(*options: str) -> tuple[subprocess.Popen[str], str, str]:
    process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    return process, line, line.split()[3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_when_it_is_ready_and_stops_cleanly(number) -> None:
    process, line, url = _start("--limit", "11", "--window", "5", "--api-key", "persona_sandbox_mine")
    answer = requests.get(f"{url}/api/v1/cases", headers={"Authorization": "Bearer persona_sandbox_mine"}, timeout=5)
    process.send_signal(number)
    output, errors = process.communicate(timeout=10)
    assert (process.returncode, output, errors) == (0, "", "")
    assert line.split()[4:] == ["environment=env_simulator", "cases=7", "limit=11/5s"]
    assert (answer.status_code, answer.headers["RateLimit-Limit"]) == (200, "11")


@pytest.mark.parametrize("pause", [0.0, 0.00001, 0.0001, 0.0003, 0.0005])
def test_signals_end_it_also_in_the_moment_in_which_it_is_ready(pause) -> None:
    """Ctrl-C reaches it together with whoever started it, which then ends it too. Before, one in ten was not heard."""
    process, _, _ = _start()
    for number in (signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
        until = time.perf_counter() + pause
        while time.perf_counter() < until:
            pass
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (0, "", "")


def test_it_remembers_its_cases_in_a_file(tmp_path) -> None:
    seen: list[Any] = []
    for status in ("Approved", "Pending"):
        process, _, url = _start("--state", str(tmp_path / "state.json"))
        control = SimulatorControl(url)
        seen.append(control.cases())
        headers = {"Authorization": f"Bearer {SANDBOX_KEY}"}
        requests.post(
            f"{url}/api/v1/cases/case_sim000001/set-status",
            json={"meta": {"status": status}},
            headers=headers,
            timeout=5,
        )
        requests.post(
            f"{url}/api/v1/cases/case_sim000002/add-tag",
            json={"meta": {"tag-name": status}},
            headers=headers,
            timeout=5,
        )
        create = {"data": {"attributes": {"case-template-id": "ctmpl_kyc"}}}
        named = requests.post(f"{url}/api/v1/cases", json=create, headers=headers, timeout=5).json()["data"][
            "attributes"
        ]["name"]
        seen.append(named)
        process.terminate()
        process.communicate(timeout=10)
    assert [seen[1], seen[3]] == ["KYC-7", "KYC-8"]
    assert len(seen[2]) == 8
    assert seen[2][0]["status"] == "Approved"
    assert seen[2][1]["tags"] == [*seen[0][1]["tags"], "Approved"]
    assert seen[2][2:7] == seen[0][2:7]


@pytest.mark.parametrize(
    "options",
    [
        ["--fault", "meteor=1"],
        ["--faults", "2"],
        ["--window", "0"],
        ["--config", "/nowhere.json"],
        ["--host", "256.0.0.1"],
    ],
)
def test_options_that_make_no_sense_end_it(options) -> None:
    ended = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert "error:" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_process_of_its_own_takes_the_whole_configuration() -> None:
    config = SimulatorConfig(cases=3, limit=9, fault_rates={}, environment_id="env_other")
    with SimulatorProcess(config) as simulator:
        assert simulator.state()["environment_id"] == "env_other"
        answer = requests.get(
            f"{simulator.url}/api/v1/cases", headers={"Authorization": f"Bearer {SANDBOX_KEY}"}, timeout=5
        )
        assert (answer.headers["Persona-Environment-Id"], len(answer.json()["data"])) == ("env_other", 3)


@pytest.mark.parametrize(
    ("program", "returncode"),
    [
        ("from persona_simulator import SimulatorServer; SimulatorServer().start()", 1),
        ("from persona_simulator.__main__ import main; main(['--port', '0'])", 2),
    ],
    ids=["server", "command line"],
)
@pytest.mark.parametrize(
    ("hidden", "named"), [(["uvicorn"], "uvicorn"), (["httptools", "h11"], "h11")], ids=["uvicorn", "both parsers"]
)
def test_a_missing_extra_is_named(program, returncode, hidden, named) -> None:
    hide = f"import sys; sys.modules.update(dict.fromkeys({hidden!r}))\n"
    ended = subprocess.run([sys.executable, "-c", hide + program], capture_output=True, text=True, check=False)
    assert ended.returncode == returncode
    message = f"the simulator needs {named}: pip install 'airflow-provider-persona[simulator]'"
    assert ended.stderr.strip().endswith(message)
    assert ("Traceback" in ended.stderr) == (returncode == 1)


def test_it_serves_without_the_faster_parser() -> None:
    """Uvicorn brings h11; httptools is faster and has no build for some machines."""
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['httptools', 'uvloop']))\n"
        "from persona_simulator import SimulatorServer\n"
        "with SimulatorServer() as server: print(server.state()['cases'])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    assert ended.stdout.strip() == str(SimulatorConfig().cases)
