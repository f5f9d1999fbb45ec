"""Run a command with pip's configuration as variables that uv understands: `python tools/as_pip.py uv pip install ...`.

A company's machines often reach packages only through its own index, proxy or certificates, and say so to pip. uv reads
none of that. Variables of uv that are set already stay as they are. Run it with a Python that has pip.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

_PLAIN = {
    "client-cert": ("SSL_CLIENT_CERT",),
    "index-url": ("UV_DEFAULT_INDEX",),
    "proxy": ("HTTPS_PROXY", "HTTP_PROXY"),
    "timeout": ("UV_HTTP_TIMEOUT",),
    "default-timeout": ("UV_HTTP_TIMEOUT",),
}
_LISTS = {
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
}


def pip_configuration(listing: str) -> dict[str, str]:
    """Return the options that `pip install` would take, from what `pip config list` prints.

    The environment wins over the section `install`, and that over `global`.
    """
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if section in found and value:
            found[section][option.replace("_", "-")] = str(ast.literal_eval(value))
    return {**found["global"], **found["install"], **found[":env:"]}


def variables_of(options: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that tell uv the same.

    Without certificates of its own uv must trust the system's: pip does since 24.2, and a company adds its own
    there.

    :param options: pip's options.
    :param environment: the variables that are set; none of these is returned.
    """
    told: dict[str, str] = {}
    for option, names in _PLAIN.items():
        told |= dict.fromkeys(names, options[option]) if options.get(option) else {}
    for option, (name, separator) in _LISTS.items():
        places = [each for each in options.get(option, "").split() if _may_be_there(each)]
        told |= {name: separator.join(places)} if places else {}
    if "extra-index-url" in options:
        told["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # what pip does: it looks for each package in all of them
    certificates = options.get("cert")
    if certificates:
        told["SSL_CERT_DIR" if Path(certificates).is_dir() else "SSL_CERT_FILE"] = certificates
    elif not environment.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"} and _system_has_certificates():
        told["UV_SYSTEM_CERTS"] = "true"
    given = {name.lower() for name in environment}  # proxies have small letters, too
    return {name: value for name, value in told.items() if name.lower() not in given}


def _may_be_there(place: str) -> bool:
    """Whether a place may hold packages. Of a local one that is not there pip warns, and uv ends."""
    path = unquote(urlsplit(place).path) if place.startswith("file:") else place
    return not path.startswith("/") or Path(path).exists()


def _system_has_certificates() -> bool:
    import ssl

    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile) or bool(paths.capath and any(Path(paths.capath).iterdir()))


def main() -> None:
    """Become the command."""
    asking = [sys.executable, "-m", "pip", "config", "list"]
    listing = subprocess.run(asking, capture_output=True, text=True, check=False).stdout
    os.environ.update(variables_of(pip_configuration(listing), os.environ))
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
