"""How a connection reaches Persona: proxy and trusted certificates, decided once for both clients.

`requests` and aiohttp read the same settings and variables in different ways. The meaning that `requests` gives them
holds for both, because users know it:

- The connection's `proxies` win over the environment; the environment fills in what they leave out.
- `NO_PROXY` takes host names, with or without a port, IPv4 addresses without one, and networks (CIDR). It holds for the
  environment's proxies.
- `REQUESTS_CA_BUNDLE`, else `CURL_CA_BUNDLE`, replaces the certificates that are trusted by default (certifi's), unless
  the connection's `verify` says otherwise. `SSL_CERT_FILE` has no effect.

One rule is ours: a host on this machine is reached directly, or through a proxy on this machine. Plain http is allowed
for such hosts only because the API key stays on the machine; a proxy elsewhere would get it in clear text.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from airflow_provider_persona.api.errors import PersonaSettingsError
from airflow_provider_persona.api.settings import PersonaSettings, is_loopback

if TYPE_CHECKING:
    import ssl

_BUNDLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name trusted certificates; the first one that is set wins, as in `requests`."""

_PROXY_SCHEMES: Final = ("http", "https")


@dataclass(frozen=True, slots=True)
class Network:
    """The way from here to one host.

    :param proxy: address of the proxy, or None for the direct way. It may hold a password.
    :param verify: False to check no certificate, else the file or folder with the trusted ones.
    """

    proxy: str | None = field(repr=False)
    verify: str | bool

    def proxies(self) -> dict[str, str]:
        """Return the proxies as `requests` takes them."""
        return {} if self.proxy is None else {"http": self.proxy, "https": self.proxy}

    def proxy_headers(self) -> dict[str, str]:
        """Return the headers that log in at the proxy, as `requests` makes them."""
        from requests.utils import get_auth_from_url
        from urllib3.util import make_headers

        user, password = get_auth_from_url(self.proxy or "")
        if not user:
            return {}
        return {"Proxy-Authorization": make_headers(proxy_basic_auth=f"{user}:{password}")["proxy-authorization"]}

    def ssl_context(self) -> ssl.SSLContext | bool:
        """Return what aiohttp needs to check certificates exactly as `requests` does."""
        return False if self.verify is False else _trusting(str(self.verify))


def network_of(settings: PersonaSettings, url: str | None = None) -> Network:
    """Return the way to a host.

    :param settings: settings of the connection.
    :param url: an address on another host than the connection's, for links to files.
    :raises PersonaSettingsError: when the proxy cannot be used, or trusted certificates are missing.
    """
    return Network(_proxy_for(settings, url or settings.host), _trusted(settings))


def _proxy_for(settings: PersonaSettings, url: str) -> str | None:
    from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy

    given = settings.proxies or {}
    proxies = {**get_environ_proxies(url, no_proxy=given.get("no_proxy")), **given}
    chosen = select_proxy(url, proxies)
    if not chosen:
        return None
    target = urlsplit(url)
    try:
        proxy = str(prepend_scheme_if_needed(chosen, "http"))  # type: ignore[no-untyped-call]
        parts = urlsplit(proxy)
        is_sound = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # the text would show the proxy's password
        is_sound = False
    if not is_sound:
        # Not the whole address: a link to a file holds the token that opens it, and often a name.
        raise PersonaSettingsError(f"the proxy for {target.scheme}://{target.hostname} is no address; {_PROXY_ADVICE}")
    if is_loopback(target.hostname or "") and not is_loopback(parts.hostname or ""):
        return None
    if not _fits_a_header(f"{unquote(parts.username or '')}{unquote(parts.password or '')}"):
        raise PersonaSettingsError(
            f"the login of the proxy for {target.scheme}://{target.hostname} holds characters beyond Latin-1, which no "
            "client can send"
        )
    if parts.scheme not in _PROXY_SCHEMES:
        raise PersonaSettingsError(f"a proxy with the scheme {parts.scheme} cannot be used; {_PROXY_ADVICE}")
    return proxy


def _fits_a_header(login: str) -> bool:
    try:
        login.encode("latin-1")  # as `requests` and `urllib3` encode it
    except UnicodeEncodeError:
        return False
    return True


_PROXY_ADVICE: Final = "give an http proxy in the connection's extra `proxies` or in the environment"


def _trusted(settings: PersonaSettings) -> str | bool:
    if settings.verify is False:
        return False
    if isinstance(settings.verify, str):
        named = f"{settings.label}: " if settings.label else ""
        return _checked(settings.verify, f"{named}the connection's extra `verify`")
    for name in _BUNDLES:
        if path := os.environ.get(name):
            return _checked(path, f"the variable {name}")
    from requests import certs

    return str(certs.where())  # type: ignore[attr-defined]  # its stub leaves the one function out


def _checked(path: str, what: str) -> str:
    if not Path(path).exists():
        raise PersonaSettingsError(f"{what} names {path}, and there is no such file or folder of certificates")
    # Tried here, because `requests` and aiohttp would say of a damaged file no more than an error of TLS.
    try:
        _trusting(path)
    except OSError:  # ssl.SSLError is one too
        raise PersonaSettingsError(f"{what} names {path}, and no certificate can be read from it") from None
    return path


def _trusting(path: str) -> ssl.SSLContext:
    if Path(path).is_dir():
        context = _empty_context()
        context.load_verify_locations(capath=path)  # reads nothing yet
        return context
    state = Path(path).stat()
    return _of_file(path, (state.st_ino, state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=4)
def _of_file(path: str, _state: tuple[int, int, int]) -> ssl.SSLContext:
    """Read a file of certificates once, and again when it has changed.

    That takes some 20 ms, in which no other trigger of the process runs, and a megabyte. All sessions may share what
    was read: nobody changes it, and it holds nothing of a host or a login.
    """
    context = _empty_context()
    context.load_verify_locations(cafile=path)
    return context


def _empty_context() -> ssl.SSLContext:
    from urllib3.util.ssl_ import create_urllib3_context

    return create_urllib3_context()  # the protocols and ciphers of `requests`, and host names are checked
