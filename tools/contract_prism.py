"""Prism, a server that is made of a specification alone, says which requests of the catalogue's tests it refuses."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

import requests

from airflow_provider_persona.api.operations import Operation, catalogue
from tests.simulator.catalogue_requests import body_of, headers_of, path_of, query_of

PRISM: Final = Path(".venv-contract/node_modules/.bin/prism")
_START_SECONDS: Final = 90
"""Prism took 15 to 50 seconds to read the specification."""


def refusals(specification: Path) -> tuple[dict[str, str], int]:
    """Send the least request of each operation that Persona has not withdrawn.

    :returns: the id of each operation that was refused, with the refusal, and how many were sent.
    :raises RuntimeError: when Prism does not begin to listen.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [PRISM, "mock", specification, "--errors", "--port", str(port), "--verboseLevel", "fatal"]
    live = [each for each in catalogue().values() if each.withdrawn is None]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as prism, requests.Session() as session:
        session.trust_env = False
        try:
            _wait(session, address, prism)
            said = {each.operation_id: _refusal(session, address, each) for each in live}
        finally:
            prism.terminate()
    return {name: refusal for name, refusal in said.items() if refusal}, len(live)


def _wait(session: requests.Session, address: str, prism: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while prism.poll() is None and time.monotonic() < end:
        try:
            session.get(address, timeout=_START_SECONDS)
        except requests.ConnectionError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError("Prism did not begin to listen")


def _refusal(session: requests.Session, address: str, each: Operation) -> str:
    """Return why Prism refuses the operation's least request, an empty text when it does not."""
    request = each.bind(path_of(each), query_of(each), body_of(each), headers_of(each))
    headers = {"Authorization": "Bearer key", "Persona-Version": "2025-12-08"} | request.headers("one-key")
    target = request.target.partition("/v1")[2]  # relays are below another path than the rest
    answer = session.request(request.method, address + target, data=request.content(), headers=headers, timeout=60)
    if answer.ok:
        return ""
    violations = json.loads(answer.headers.get("sl-violations", "[]"))
    return "; ".join(each["message"] for each in violations) or f"{answer.status_code} {answer.text[:300]}"
