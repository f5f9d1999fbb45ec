"""Which addresses in Persona's answers are links to stored files, and which of those get the API key.

An answer also holds texts that people outside typed in, so an address in it proves nothing. Links are followed to
Persona's own hosts only, and to those that the Dag's author names. No sockets here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from airflow_provider_persona.api.errors import PersonaAnswerError, PersonaSettingsError
from airflow_provider_persona.api.messages import API_PREFIX, DEFAULT_HOST
from airflow_provider_persona.api.settings import NETLOC, Origin, PersonaSettings, origin_of

PERSONAS_DOMAIN: Final = "withpersona.com"
"""Where Persona keeps files: `files.withpersona.com` (docs.withpersona.com/downloading-files)."""

_OLD_HOST: Final = "https://withpersona.com"
"""Where versions up to 2022-09-01 say that files of the API are. The API itself has moved to `DEFAULT_HOST`."""

_FILE_OF_THE_API: Final = re.compile(rf"{API_PREFIX}/files/([^/]+)/([^/]+)")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class FileLinks:
    """Tells links to files from other values.

    - Signed links carry an `access_token`. They lead to `withpersona.com`, a host below it, the host of the connection
      or one of `hosts`, over https.
    - Older ones lead to `/api/v1/files/` on the connection's host, and these get the key. Those that name the API's old
      host are taken to its host of today.
    - Where the connection leads to a simulated Persona (plain http, this machine), only its own address counts, and
      `hosts`.

    :param settings: of the connection that the links came from.
    :param hosts: further hosts, like `files.example.com` or `files.example.com:8443`; no host below them.
    :raises PersonaSettingsError: when `hosts` is a single text, or one of them is no host.
    """

    settings: PersonaSettings
    hosts: Sequence[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.hosts, str) or not all(_is_host(host) for host in self.hosts):
            raise PersonaSettingsError('file_hosts is a list of hosts without scheme, like ["files.example.com"]')

    def is_link(self, value: Any) -> bool:
        """Whether a value in an answer is a link to a stored file that may be followed."""
        if not isinstance(value, str) or "://" not in value:
            return False
        parts = self._parts(value)
        if parts is None or not self._is_safe(parts):
            return False
        return self.needs_key(parts) or ("access_token" in dict(parse_qsl(parts.query)) and self._is_known(parts))

    def checked(self, url: str, what: str) -> SplitResult:
        """Take a link apart.

        :param what: what it leads to, for the error.
        :raises PersonaAnswerError: when it is not https, which only a simulated Persona need not have, or leads to
            another host.
        """
        parts = self._parts(url)
        if parts is None or not self._is_safe(parts):
            raise PersonaAnswerError(f"the link to {what} is not https, so it is not followed")
        if not self.needs_key(parts) and not self._is_known(parts):
            raise PersonaAnswerError(
                f"the link to {what} leads to no host of Persona's, so it is not followed; name the host in file_hosts "
                "if your files are there"
            )
        return parts

    def needs_key(self, parts: SplitResult) -> bool:
        """Whether it is exactly the address of a file of the API, `/api/v1/files/<token>/<name>`.

        A name that is `..`, also when it is written in another way, would be resolved on the way, and the key would go
        to whatever call is there.
        """
        segments = _FILE_OF_THE_API.fullmatch(parts.path)
        return (
            origin_of(parts) == self.settings.origin
            and segments is not None
            and all(_stays_in_place(segment) for segment in segments.groups())
        )

    def _parts(self, url: str) -> SplitResult | None:
        parts = _parts(url)
        if parts is None or not _FILE_OF_THE_API.fullmatch(parts.path):
            return parts
        has_moved = origin_of(parts) == _origin(_OLD_HOST) and self.settings.origin == _origin(DEFAULT_HOST)
        return parts._replace(netloc=urlsplit(DEFAULT_HOST).netloc) if has_moved else parts

    def _is_safe(self, parts: SplitResult) -> bool:
        is_own_machine = self._is_simulated and origin_of(parts)[1] == self.settings.origin[1]
        return parts.scheme == "https" or (parts.scheme == "http" and is_own_machine)

    def _is_known(self, parts: SplitResult) -> bool:
        origin = origin_of(parts)
        given = {origin_of(urlsplit(f"{parts.scheme}://{host}")) for host in self.hosts}
        return origin == self.settings.origin or origin in given or (not self._is_simulated and _is_personas(origin))

    @property
    def _is_simulated(self) -> bool:
        return self.settings.host.startswith("http:")  # settings take http for loopback only


def _origin(url: str) -> Origin:
    return origin_of(urlsplit(url))


def _parts(url: str) -> SplitResult | None:
    """Take an address apart; None for what is none, or what others might take apart differently."""
    try:
        parts = urlsplit(url)
        is_sound = bool(NETLOC.fullmatch(parts.netloc)) and parts.port != 0
    except ValueError:
        return None
    return parts if is_sound and parts.scheme in ("http", "https") and not _CONTROL.search(url) else None


def _is_personas(origin: Origin) -> bool:
    _, host, port = origin
    return port == 443 and (host == PERSONAS_DOMAIN or host.endswith(f".{PERSONAS_DOMAIN}"))


def _stays_in_place(segment: str) -> bool:
    plain = unquote(segment)
    return plain not in (".", "..") and not set(plain) & {"/", "\\"}


def _is_host(value: Any) -> bool:
    return isinstance(value, str) and _parts(f"https://{value}") is not None and "/" not in value
