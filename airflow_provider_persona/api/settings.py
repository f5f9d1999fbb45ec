"""The settings of a connection to one environment of Persona."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StrictBool, ValidationError, field_validator

from airflow_provider_persona.api.dashboard import DASHBOARD
from airflow_provider_persona.api.defaults import (
    DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_READ_TIMEOUT,
    DEFAULT_VERIFY,
    VERSION_PATTERN,
)
from airflow_provider_persona.api.errors import PersonaSettingsError, faults_of
from airflow_provider_persona.api.limits import DEFAULT_RESERVE
from airflow_provider_persona.api.messages import API_PREFIX, DEFAULT_HOST, DEFAULT_VERSION

NETLOC = re.compile(r"([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)
"""A host that all parsers read alike. A backslash, for example, ends the host for some of them only."""

_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~-]*", re.ASCII)

_PROXY_NAME = re.compile(r"(https?|all)(://[^/\s]+)?|no_proxy")
"""A key of `proxies` that `requests` heeds."""

Origin: TypeAlias = "tuple[str, str, int]"
"""Scheme, host and port."""

_PORTS = {"http": 80, "https": 443}

LONGEST_TIMEOUT = 24 * 3600.0
"""Seconds. Sockets take no timeout of years."""


class PersonaSettings(BaseModel):
    """The settings of one connection.

    :param api_key: the API key, a secret; each key belongs to one environment (sandbox or production).
    :param host: scheme and host, and port if need be. `/api/v1` at its end is dropped. Plain `http` is allowed for this
        machine only.
    :param version: value of the `Persona-Version` header. It is always sent, because otherwise a setting of the key
        decides on the format of answers.
    :param connect_timeout: seconds to make a connection.
    :param read_timeout: seconds from sending a request to the end of its answer. Some calls are cut earlier; see
        `patience.py`.
    :param reserve: share of the request limit left to others, from 0 to below 1.
    :param proxies: addresses of proxies by scheme, as `requests` takes them; the variables of the environment fill in
        what they leave out.
    :param verify: True, False, or the path of a file or folder of trusted certificates.
    :param expected_environment_id: the environment (`env_…`) that must answer; nothing is written to another one.
    :param label: name of the connection, which messages begin with, or empty.
    :param dashboard_url: address of Persona's dashboard, for the links that people follow; nothing is sent to it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    api_key: SecretStr
    host: str = DEFAULT_HOST
    version: str = Field(default=DEFAULT_VERSION, pattern=VERSION_PATTERN)
    connect_timeout: float = Field(default=DEFAULT_CONNECT_TIMEOUT, gt=0, le=LONGEST_TIMEOUT)
    read_timeout: float = Field(default=DEFAULT_READ_TIMEOUT, gt=0, le=LONGEST_TIMEOUT)
    reserve: float = Field(default=DEFAULT_RESERVE, ge=0, lt=1)
    proxies: dict[str, str] | None = Field(default=None, repr=False)  # a proxy's address may hold a password
    verify: StrictBool | str = DEFAULT_VERIFY
    expected_environment_id: str | None = None
    label: str = ""
    dashboard_url: str = DASHBOARD

    @classmethod
    def checked(cls, **values: Any) -> PersonaSettings:
        """Return the settings; None and empty text count as not given.

        :raises PersonaSettingsError: when a setting cannot be used. It names the setting, never the value.
        """
        given = {name: value for name, value in values.items() if value is not None and value != ""}
        if "api_key" not in given:
            raise PersonaSettingsError("there is no API key; put it into the connection's password")
        try:
            return cls(**given)
        except ValidationError as error:
            raise PersonaSettingsError(f"it cannot be used: {faults_of(error)}") from None

    @field_validator("connect_timeout", "read_timeout", "reserve", mode="before")
    @classmethod
    def _is_no_truth(cls, value: Any) -> Any:
        if isinstance(value, bool):  # which pydantic takes for 1 or 0
            raise ValueError("give a number")  # noqa: TRY004 - pydantic takes no TypeError
        return value

    @field_validator("api_key")
    @classmethod
    def _key_fits_a_header(cls, key: SecretStr) -> SecretStr:
        secret = key.get_secret_value().strip()
        if not secret:
            raise ValueError("it is empty")
        if not secret.isascii() or not secret.isprintable() or " " in secret:
            raise ValueError("it holds characters that no Persona key has; copy it again")
        return SecretStr(secret)

    @field_validator("host")
    @classmethod
    def _origin(cls, host: str) -> str:
        text = host.strip()
        if not text.isprintable():  # `urlsplit` drops tabs and line breaks, and what is left is another host
            raise ValueError(f"give a name or an address without breaks in it, like {DEFAULT_HOST}")
        parts = urlsplit(text if "://" in text else f"https://{text}")
        if parts.path.rstrip("/") not in ("", API_PREFIX) or parts.query or parts.fragment:
            raise ValueError(f"give only scheme and host, like {DEFAULT_HOST}")
        if not NETLOC.fullmatch(parts.netloc):
            raise ValueError(f"give a name or an address, and a port if need be, like {DEFAULT_HOST}")
        if not _has_sound_port(parts):
            raise ValueError("its port is no number from 1 to 65535")
        if parts.scheme not in _PORTS:
            raise ValueError(f"give a web address, like {DEFAULT_HOST}")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError("plain http would show the API key to the network; use https (http is for loopback only)")
        return f"{parts.scheme}://{parts.netloc}"

    @field_validator("proxies")
    @classmethod
    def _have_known_names(cls, proxies: dict[str, str] | None) -> dict[str, str] | None:
        if not all(_PROXY_NAME.fullmatch(name) for name in proxies or ()):  # nobody would look at such a proxy
            raise ValueError(
                "its keys are http, https, all, no_proxy, or such a scheme and a host like https://a.example"
            )
        return {name: address.strip() for name, address in proxies.items()} if proxies else proxies

    @field_validator("dashboard_url")
    @classmethod
    def _web_address(cls, address: str) -> str:
        text = address.strip().rstrip("/")
        parts = urlsplit(text if text.isprintable() else "")
        # Airflow's pages show it as a link, so it must lead to a web page and run nothing.
        if parts.scheme not in _PORTS or not NETLOC.fullmatch(parts.netloc) or not _PLAIN_PATH.fullmatch(parts.path):
            raise ValueError(f"give a web address, like {DASHBOARD}")
        if parts.query or parts.fragment:
            raise ValueError(f"give an address without a query, like {DASHBOARD}")
        return text

    @property
    def origin(self) -> Origin:
        """Scheme, host and port of the connection."""
        return origin_of(urlsplit(self.host))

    @property
    def key_kind(self) -> str:
        """`sandbox`, `production` or `unknown`, from the beginning of the key."""
        secret = self.api_key.get_secret_value()
        return next((kind for kind in ("sandbox", "production") if secret.startswith(f"persona_{kind}_")), "unknown")

    def headers(self) -> dict[str, str]:
        """Return the headers that every request has, without the key."""
        return {"Accept": "application/json", "Persona-Version": self.version, "Key-Inflection": "kebab"}

    def authorization(self) -> str:
        """Return the value of the `Authorization` header, a secret."""
        return f"Bearer {self.api_key.get_secret_value()}"


def origin_of(parts: SplitResult) -> Origin:
    """Return scheme, host and port of an address. An API key goes to one origin only.

    :raises ValueError: when the port is no number from 0 to 65535.
    """
    port = parts.port
    return parts.scheme, parts.hostname or "", _PORTS.get(parts.scheme, 0) if port is None else port


def _has_sound_port(parts: SplitResult) -> bool:
    try:
        return parts.port is None or parts.port > 0
    except ValueError:  # its text would show the address
        return False


def is_loopback(hostname: str) -> bool:
    """Whether a host is this machine."""
    if hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False
