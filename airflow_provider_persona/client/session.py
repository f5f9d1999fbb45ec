"""The `requests` session of a connection. Imported at the first call only, because `requests` takes long to import."""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from airflow_provider_persona.api.settings import PersonaSettings, origin_of
from airflow_provider_persona.client.network import Network, network_of
from airflow_provider_persona.client.transport import USER_AGENT
from airflow_provider_persona.client.wire import POOLS
from airflow_provider_persona.client.wire_log import hide_queries


class Session(requests.Session):
    """Goes by the connection's proxy and trust, keeps no cookie, follows no redirect, and knows no netrc.

    :param settings: settings of the connection.
    :param sends_key: whether requests to the connection's host carry the API key.
    """

    def __init__(self, settings: PersonaSettings, *, sends_key: bool = True) -> None:
        super().__init__()
        self._settings = settings
        self._network: Network | None = None
        # False, because netrc's logins come with it. Proxies and trust of the environment: see `network.py`.
        self.trust_env = False
        self.headers["User-Agent"] = USER_AGENT
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        if sends_key:
            self.auth = _KeyForHost(settings)
        self.mount("http://", _Adapter())
        self.mount("https://", _Adapter())
        hide_queries(urlsplit(settings.host).hostname or "")

    def merge_environment_settings(
        self, url: str | bytes | None, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Return how `url` is reached; what the caller of `request` gives wins."""
        network = self._network_to(str(url))
        return {
            "proxies": dict(proxies) if proxies else network.proxies(),
            "stream": self.stream if stream is None else stream,
            "verify": network.verify if verify is None else verify,
            "cert": self.cert if cert is None else cert,
        }

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - the parent's parameter
        """Return no target, so that whoever uses the session gets the redirect as the answer."""
        return

    def _network_to(self, url: str) -> Network:
        if origin_of(urlsplit(url)) != self._settings.origin:
            return network_of(self._settings, url)
        if self._network is None:
            self._network = network_of(self._settings)
        return self._network


class _KeyForHost(AuthBase):
    """Adds the API key to requests to the connection's host, and to no others.

    It is the session's auth and not one of its headers, because users of `PersonaHook.get_conn` may call any address.
    """

    def __init__(self, settings: PersonaSettings) -> None:
        self._settings = settings

    def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        if origin_of(urlsplit(prepared.url or "")) == self._settings.origin:
            prepared.headers["Authorization"] = self._settings.authorization()
        return prepared


class _Adapter(HTTPAdapter):
    """Makes connections that know of deadlines; see `wire.py`."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        # Of this manager only: `urllib3` shares the usual mapping with every other program in the process.
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)  # `requests` keeps a manager of its own for each proxy
        manager.pool_classes_by_scheme = POOLS
        return manager
