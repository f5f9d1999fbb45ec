"""Who may control a simulator: this machine, or whoever has its token."""

from __future__ import annotations

import pytest
import requests

from persona_simulator import SimulatorConfig, SimulatorControl, SimulatorServer
from persona_simulator.__main__ import main


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "simulator.example"])
def test_an_address_that_others_can_reach_needs_a_token(host, capsys) -> None:
    with pytest.raises(ValueError, match="can be reached by others, so its control endpoints need a control_token"):
        SimulatorConfig(host=host)
    with pytest.raises(SystemExit):
        main(["--host", host])
    assert "need a control_token" in capsys.readouterr().err


def test_only_who_has_the_token_controls_it() -> None:
    with SimulatorServer(SimulatorConfig(host="0.0.0.0", cases=3, control_token="secret-token")) as server:
        port = server.url.rpartition(":")[2]
        address = f"http://127.0.0.1:{port}"
        assert len(SimulatorControl(address, "secret-token").statuses()) == 3
        assert "secret-token" not in repr(server.config)
        for headers in ({}, {"Simulator-Token": "secret"}, {"Simulator-Token": "secret-token-and-more"}):
            answer = requests.get(f"{address}/_simulator/state", headers=headers, timeout=5)
            assert (answer.status_code, answer.text) == (404, "{}")
        assert len(server.statuses()) == 3


def test_on_loopback_none_is_needed() -> None:
    with SimulatorServer(SimulatorConfig(cases=3)) as server:
        assert requests.get(f"{server.url}/_simulator/state", timeout=5).status_code == 200
