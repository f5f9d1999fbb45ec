"""What uv is told of pip's configuration, as a table, and once with pip itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from as_pip import pip_configuration, variables_of

PROGRAM = Path(__file__).parents[2] / "tools" / "as_pip.py"
_WITH_PIP = [str(PROGRAM.parents[1] / ".venv-uv" / "bin" / "python"), getattr(sys, "_base_executable", "")]
SYSTEM = {"SSL_CERT_FILE": "/etc/ssl/cert.pem"}


@pytest.mark.parametrize(
    ("options", "environment", "told"),
    [
        ({}, SYSTEM, {}),
        ({"cert": "/etc/company.pem"}, {}, {"SSL_CERT_FILE": "/etc/company.pem"}),
        ({"cert": "/etc/company.pem"}, SYSTEM, {}),
        ({"cert": "/"}, {}, {"SSL_CERT_DIR": "/"}),
        ({"client-cert": "/me.pem"}, SYSTEM, {"SSL_CLIENT_CERT": "/me.pem"}),
        ({"index-url": "https://a/simple"}, SYSTEM, {"UV_DEFAULT_INDEX": "https://a/simple"}),
        ({"index-url": "https://a/simple"}, {**SYSTEM, "UV_DEFAULT_INDEX": "https://b"}, {}),
        (
            {"extra-index-url": "https://a\nhttps://b"},
            SYSTEM,
            {"UV_INDEX": "https://a https://b", "UV_INDEX_STRATEGY": "unsafe-best-match"},
        ),
        ({"find-links": "/tmp https://c/w"}, SYSTEM, {"UV_FIND_LINKS": "/tmp,https://c/w"}),
        ({"find-links": "/not/there wheels file:///tmp"}, SYSTEM, {"UV_FIND_LINKS": "wheels,file:///tmp"}),
        ({"find-links": "/not/there"}, SYSTEM, {}),
        (
            {"extra-index-url": "file:///not/there https://a"},
            SYSTEM,
            {"UV_INDEX": "https://a", "UV_INDEX_STRATEGY": "unsafe-best-match"},
        ),
        ({"trusted-host": "a b:8443"}, SYSTEM, {"UV_INSECURE_HOST": "a b:8443"}),
        ({"proxy": "http://p:1"}, SYSTEM, {"HTTPS_PROXY": "http://p:1", "HTTP_PROXY": "http://p:1"}),
        ({"proxy": "http://p:1"}, {**SYSTEM, "https_proxy": "http://q:1"}, {"HTTP_PROXY": "http://p:1"}),
        ({"timeout": "60", "constraint": "/c.txt", "user": "true"}, SYSTEM, {"UV_HTTP_TIMEOUT": "60"}),
    ],
)
def test_uv_is_told_what_pip_knows(options, environment, told):
    assert variables_of(options, environment) == told


def test_the_environment_wins_over_the_section_and_that_over_the_rest():
    listing = (
        "global.index-url='https://global'\ninstall.index-url='https://install'\nglobal.proxy='http://p:1'\n"
        ":env:.proxy='http://env:1'\nfreeze.timeout='10'\nglobal.extra-index-url='\\nhttps://a\\nhttps://b'\n"
    )
    found = pip_configuration(listing)
    assert found.pop("extra-index-url").split() == ["https://a", "https://b"]
    assert found == {"index-url": "https://install", "proxy": "http://env:1"}


def test_a_command_gets_what_a_file_of_pips_says(tmp_path):
    python = next((path for path in _WITH_PIP if Path(path).exists()), sys.executable)
    configuration = "[global]\nindex-url = https://company.example/simple\ncert = /etc/company.pem\n"
    (tmp_path / "pip.conf").write_text(configuration)
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    show = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    command = [python, PROGRAM, *show]
    found = json.loads(subprocess.run(command, env=bare, capture_output=True, text=True, check=True).stdout)
    assert found["UV_DEFAULT_INDEX"] == "https://company.example/simple"
    assert found["SSL_CERT_FILE"] == "/etc/company.pem"
