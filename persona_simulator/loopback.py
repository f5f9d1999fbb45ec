"""How programs reach a simulator on a machine that sends its requests through a proxy."""

from __future__ import annotations

from collections.abc import Mapping

_HERE = ("127.0.0.1", "localhost", "::1")


def without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `NO_PROXY` with this machine added, in both spellings, for the environment of a program.

    :param environment: the variables that the program would have; what its `NO_PROXY` names stays.
    """
    named = (environment.get("no_proxy") or environment.get("NO_PROXY") or "").split(",")
    hosts = [host for host in (each.strip() for each in named) if host]
    value = ",".join([*hosts, *(host for host in _HERE if host not in hosts)])
    return {"NO_PROXY": value, "no_proxy": value}
