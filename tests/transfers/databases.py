"""The databases that the transfers are tried on, each behind the Airflow connection `warehouse`."""

from __future__ import annotations

import json
import os
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

SQLITE, POSTGRES, MARIADB, MARIADB_MYSQLCLIENT = "sqlite", "postgres", "mariadb", "mariadb_mysqlclient"
HAS_MYSQLCLIENT = find_spec("MySQLdb") is not None
MARIADBS = [MARIADB, MARIADB_MYSQLCLIENT] if HAS_MYSQLCLIENT else [MARIADB]
"""MariaDB with each driver of the MySQL provider that is installed. mysqlclient has to be compiled."""
KINDS = [SQLITE, POSTGRES, *MARIADBS]

_POSTGRES = {"conn_type": "postgres", "host": "127.0.0.1", "port": 5432, "login": "postgres", "schema": "test"}
_MARIADB = {"conn_type": "mysql", "host": "127.0.0.1", "port": 3306, "login": "root", "schema": "test"}
_SERVERS = {
    POSTGRES: ("PostgreSQL", _POSTGRES),
    MARIADB: ("MariaDB", {**_MARIADB, "extra": {"client": "mysql-connector-python"}}),
    MARIADB_MYSQLCLIENT: ("MariaDB", _MARIADB),
}


def connect_warehouse(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Put a database behind the connection `warehouse`, or skip the test.

    :param folder: where an SQLite file may be.
    :param changes: fields of the connection that shall be others.
    """
    connection = {"conn_type": "sqlite", "host": str(folder / "warehouse.sqlite")}
    if kind in _SERVERS:
        name, connection = _SERVERS[kind]
        _need_server(name, connection["port"])
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({**connection, **changes}))


def _need_server(name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return
    if os.environ.get("CI") == "true":
        pytest.fail(f"no {name} answers on 127.0.0.1:{port}")
    pytest.skip(f"no {name} answers on 127.0.0.1:{port}")


def warehouse_hook(**hook_params: Any) -> Any:
    """Return Airflow's hook of the connection `warehouse`."""
    from airflow_provider_persona.version_compat import BaseHook

    return BaseHook.get_connection("warehouse").get_hook(hook_params=hook_params)
