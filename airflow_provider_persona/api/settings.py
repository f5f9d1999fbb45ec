"""What a client must know to talk to one environment of Persona."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from airflow_provider_persona.api.errors import PersonaSettingsError
from airflow_provider_persona.api.messages import API_PREFIX, DEFAULT_HOST, DEFAULT_VERSION
from airflow_provider_persona.api.rate_limit import DEFAULT_RESERVE


class PersonaSettings(BaseModel):
    """The settings of one connection.

    :param api_key: the secret; it decides the environment (sandbox or production).
    :param host: scheme and host, and port if need be. `/api/v1` at its end is dropped. Plain `http` is for loopback
        only.
    :param version: value of the `Persona-Version` header, so that the key's own setting never changes the shape.
    :param connect_timeout: seconds to make a connection.
    :param read_timeout: seconds from sending a request to the end of its answer.
    :param reserve: share of the request limit left to others, from 0 to below 1.
    :param proxies: proxy URLs by scheme, as `requests` takes them; without it the environment's proxies hold.
    :param verify: True, False, or the path of a bundle of certificates.
    :param expected_environment_id: refuse to write when another environment (`env_…`) answers.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    api_key: SecretStr
    host: str = DEFAULT_HOST
    version: str = Field(default=DEFAULT_VERSION, pattern=r"^\d{4}-\d{2}-\d{2}$")
    connect_timeout: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    read_timeout: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    reserve: float = Field(default=DEFAULT_RESERVE, ge=0, lt=1)
    proxies: dict[str, str] | None = None
    verify: bool | str = True
    expected_environment_id: str | None = None

    @classmethod
    def checked(cls, **values: Any) -> PersonaSettings:
        """Return the settings; values that are None or empty text count as not given.

        :raises PersonaSettingsError: naming each setting that cannot be used, never its value.
        """
        given = {name: value for name, value in values.items() if value is not None and value != ""}
        if "api_key" not in given:
            raise PersonaSettingsError("the Persona connection has no API key; put it into the connection's password")
        try:
            return cls(**given)
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise PersonaSettingsError(f"the Persona connection cannot be used: {faults}") from None

    @field_validator("api_key")
    @classmethod
    def _key_fits_a_header(cls, key: SecretStr) -> SecretStr:
        secret = key.get_secret_value().strip()
        if not secret:
            raise ValueError("it is empty")
        if not secret.isascii() or not secret.isprintable() or " " in secret:
            raise ValueError("it holds characters that no Persona key has; copy it anew")
        return SecretStr(secret)

    @field_validator("host")
    @classmethod
    def _origin(cls, host: str) -> str:
        text = host.strip()
        parts = urlsplit(text if "://" in text else f"https://{text}")
        if parts.path.rstrip("/") not in ("", API_PREFIX) or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError(f"give only scheme and host, like {DEFAULT_HOST}")
        if not _has_sound_port(parts):
            raise ValueError("its port is no number from 0 to 65535")
        if not parts.hostname or parts.scheme not in ("http", "https"):
            raise ValueError(f"give a web address, like {DEFAULT_HOST}")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ValueError("plain http would show the API key to the network; use https (http is for loopback only)")
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def key_kind(self) -> str:
        """`sandbox` or `production`, told from how Persona's keys start, or `unknown`."""
        secret = self.api_key.get_secret_value()
        return next((kind for kind in ("sandbox", "production") if secret.startswith(f"persona_{kind}_")), "unknown")

    def headers(self) -> dict[str, str]:
        """Return the headers of every request, without the key."""
        return {"Accept": "application/json", "Persona-Version": self.version, "Key-Inflection": "kebab"}

    def authorization(self) -> str:
        """Return the value of the `Authorization` header. Secret."""
        return f"Bearer {self.api_key.get_secret_value()}"


def _has_sound_port(parts: SplitResult) -> bool:
    try:
        return parts.port is None or parts.port >= 0
    except ValueError:  # its text would show what was given
        return False


def _is_loopback(hostname: str) -> bool:
    if hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False
