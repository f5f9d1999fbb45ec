"""How both clients reach Persona: through which proxy, and trusting whom."""

from __future__ import annotations

import json
import logging
import shutil
import socket
import subprocess

import pytest
import requests

from airflow_provider_persona.api.errors import (
    PersonaServerError,
    PersonaSettingsError,
    PersonaTransportError,
    PersonaUnresolvedError,
)
from airflow_provider_persona.api.retry import NO_RETRIES
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client import PersonaClient
from airflow_provider_persona.client.network import network_of
from persona_simulator import SANDBOX_KEY
from tests.client.raw_server import always, answer, make_authority

PROXY_VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"]
TRUST_VARIABLES = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in [*PROXY_VARIABLES, *TRUST_VARIABLES]:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def ways(serve):
    """Persona and two proxies, as servers that only count what comes."""
    return {name: serve(always(answer({"data": []}))) for name in ("direct", "A", "B")}


@pytest.fixture
def set_variables(ways, monkeypatch):
    """Set variables, in which `{A}`, `{B}` and `{port}` stand for the servers."""

    def fill(text):
        return text.format(A=ways["A"].url, B=ways["B"].url, port=ways["direct"].port)

    def do(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, fill(value))
        return fill

    return do


WAYS = [
    ({}, None, "direct"),
    ({"HTTP_PROXY": "{A}"}, None, "A"),
    ({"http_proxy": "{A}"}, None, "A"),
    ({"HTTPS_PROXY": "{A}"}, None, "direct"),
    ({"ALL_PROXY": "{A}"}, None, "A"),
    ({"ALL_PROXY": "{A}", "HTTP_PROXY": "{B}"}, None, "B"),
    ({"HTTP_PROXY": "{A}", "NO_PROXY": "127.0.0.1"}, None, "direct"),
    ({"HTTP_PROXY": "{A}", "NO_PROXY": "127.0.0.1:{port}"}, None, "A"),  # `requests` knows no port of an address
    ({"HTTP_PROXY": "{A}", "NO_PROXY": "10.0.0.0/8, 127.0.0.0/8"}, None, "direct"),
    ({"HTTP_PROXY": "{A}", "NO_PROXY": "10.0.0.0/8"}, None, "A"),
    ({"HTTP_PROXY": "{A}", "NO_PROXY": "*"}, None, "direct"),
    ({}, {"http": "{A}"}, "A"),
    ({}, {"all": "{A}"}, "A"),
    ({}, {"http://127.0.0.1": "{A}"}, "A"),
    ({}, {"all://127.0.0.1": "{A}"}, "A"),
    ({}, {"http": "{B}", "http://127.0.0.1": "{A}"}, "A"),
    ({}, {"http://elsewhere.example": "{A}"}, "direct"),
    ({}, {"https": "{A}"}, "direct"),
    ({"HTTP_PROXY": "{B}"}, {"http": "{A}"}, "A"),
    ({"HTTP_PROXY": "{B}"}, {"https": "{A}"}, "B"),
    ({"HTTP_PROXY": "{B}"}, {"http": ""}, "direct"),
    ({"HTTP_PROXY": "{B}"}, {"no_proxy": "127.0.0.1"}, "direct"),
    ({"NO_PROXY": "127.0.0.1"}, {"http": "{A}"}, "A"),
]
"""Variables, the `proxies` of the connection, and where the request arrives."""


@pytest.mark.parametrize(("variables", "proxies", "way"), WAYS)
def test_the_proxy_is_the_one_that_requests_would_take(connect, ways, set_variables, variables, proxies, way):
    fill = set_variables(variables)
    given = {name: fill(value) for name, value in proxies.items()} if proxies else None
    face = connect(ways["direct"].url, policy=NO_RETRIES, proxies=given)
    assert face.call("list-all-cases").status == 200
    assert [name for name, server in ways.items() if server.received] == [way]


@pytest.mark.parametrize(("variables", "proxies", "way"), WAYS)
def test_requests_itself_takes_that_proxy(ways, set_variables, variables, proxies, way):
    fill = set_variables(variables)
    given = {name: fill(value) for name, value in proxies.items()} if proxies else None
    requests.get(ways["direct"].url, proxies=given, timeout=10).close()
    assert [name for name, server in ways.items() if server.received] == [way]


def test_no_proxy_takes_a_name_with_its_port(connect, ways, monkeypatch):
    named = ways["direct"].url.replace("127.0.0.1", "localhost")
    monkeypatch.setenv("HTTP_PROXY", ways["A"].url)
    for exempt in (f"localhost:{ways['direct'].port}", "localhost:1"):
        monkeypatch.setenv("NO_PROXY", exempt)
        connect(named, policy=NO_RETRIES).call("list-all-cases")
    assert [len(ways[name].received) for name in ("direct", "A")] == [1, 1]


def test_a_proxy_needs_no_scheme(connect, ways):
    face = connect(ways["direct"].url, policy=NO_RETRIES, proxies={"http": ways["A"].url.removeprefix("http://")})
    face.call("list-all-cases")
    assert ways["A"].received
    assert not ways["direct"].received


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
@pytest.mark.parametrize(
    "proxy", ["http://proxy.example:3128", "http://10.0.0.1:3128", "proxy.example:3128", "socks5h://proxy.example:1080"]
)
def test_a_key_for_this_machine_goes_to_no_proxy_elsewhere(host, proxy, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", proxy)
    settings = PersonaSettings.checked(api_key=SANDBOX_KEY, host=f"http://{host}:8790", proxies={"http": proxy})
    assert network_of(settings).proxy is None


@pytest.mark.parametrize("proxy", ["socks5h://127.0.0.1:1", "ftp://127.0.0.1:1", "http://", "http://p:canary@[x", "::"])
def test_a_proxy_that_cannot_be_used_is_an_error_of_the_settings(connect, ways, proxy):
    face = connect(ways["direct"].url, policy=NO_RETRIES, proxies={"http": proxy})
    with pytest.raises(PersonaSettingsError, match="proxies") as caught:
        face.call("list-all-cases")
    assert "canary" not in str(caught.value)
    assert not ways["direct"].received


def test_a_proxy_that_cannot_be_used_does_not_show_the_link_that_leads_through_it():
    ours = PersonaSettings.checked(api_key=SANDBOX_KEY, proxies={"https://files.withpersona.com": "http://proxy:99999"})
    with pytest.raises(PersonaSettingsError, match=r"^the proxy for https://files\.withpersona\.com is no address"):
        network_of(ours, "https://files.withpersona.com/jane-roe.pdf?access_token=t")


def test_a_login_of_a_proxy_that_no_header_takes_is_an_error_of_the_settings(connect, ways):
    address = ways["A"].url.replace("//", "//scheduler:canary%E2%82%AC@")
    with pytest.raises(PersonaSettingsError, match="the login of the proxy for") as told:
        connect(ways["direct"].url, policy=NO_RETRIES, proxies={"http": address}).call("list-all-cases")
    assert "canary" not in str(told.value)


def test_a_settings_text_shows_no_password_of_a_proxy():
    settings = PersonaSettings.checked(api_key=SANDBOX_KEY, proxies={"https": "http://user:canary@proxy.example:1"})
    assert "canary" not in repr(settings) + str(settings) + repr(network_of(settings))


def test_a_login_is_sent_to_the_proxy_as_requests_sends_it(connect, ways):
    proxy = ways["A"].url.replace("http://", "http://jo%40hn:p%3Aw@")
    connect(ways["direct"].url, proxies={"http": proxy}).call("list-all-cases")
    (received,) = ways["A"].received
    assert received.headers["proxy-authorization"] == "Basic am9AaG46cDp3"
    assert received.headers["authorization"] == f"Bearer {SANDBOX_KEY}"


# ---------------------------------------------------------------------- tunnels


@pytest.fixture
def authority(tmp_path):
    return make_authority(tmp_path)


@pytest.fixture
def secure(serve, authority):
    """Persona over TLS, with a certificate that only the company trusts."""
    return serve(always(answer({"data": []})), authority.context)


def test_a_tunnel_brings_the_login_to_the_proxy_and_the_key_to_persona(connect, serve, secure, authority):
    proxy = serve(always(answer()), is_proxy=True)
    face = connect(
        secure.url, verify=str(authority.certificate), proxies={"https": proxy.url.replace("//", "//john:pw@")}
    )
    for _ in range(3):
        assert face.call("list-all-cases").status == 200
    (asked,) = proxy.received
    assert (asked.method, asked.target) == ("CONNECT", f"127.0.0.1:{secure.port}")
    assert asked.headers["proxy-authorization"] == "Basic am9objpwdw=="
    assert "authorization" not in asked.headers
    assert {received.headers["authorization"] for received in secure.received} == {f"Bearer {SANDBOX_KEY}"}
    assert all("proxy-authorization" not in received.headers for received in secure.received)


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "503 Unavailable", "302 Found"])
def test_a_refused_tunnel_is_tried_again_and_was_not_sent(connect, serve, approval, status):
    refused = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nLocation: http://elsewhere.example\r\n\r\n".encode()
    proxy = serve(always(refused))
    face = connect("https://persona.invalid", proxies={"https": proxy.url})
    with pytest.raises(PersonaTransportError, match="tried 4 times") as caught:
        face.call("set-status-for-a-case", **approval)
    assert not isinstance(caught.value, PersonaUnresolvedError)
    assert [received.method for received in proxy.received] == ["CONNECT"] * 4
    assert SANDBOX_KEY not in repr(proxy.received)


def test_a_proxy_that_hangs_up_in_the_tunnel_was_not_sent_to(connect, serve, approval):
    face = connect("https://persona.invalid", proxies={"https": serve(lambda _, line: line.hang_up()).url})
    with pytest.raises(PersonaTransportError, match="tried 4 times"):
        face.call("set-status-for-a-case", **approval)


def test_an_answer_of_a_plain_proxy_looks_like_personas(connect, serve):
    face = connect("http://127.0.0.1:1", policy=NO_RETRIES, proxies={"http": serve(always(answer(b"", "503 X"))).url})
    with pytest.raises(PersonaServerError):
        face.call("list-all-cases")


# ---------------------------------------------------------------------- trust


def requests_trusts(url, verify):
    try:
        return requests.get(url, verify=verify, timeout=10).ok
    except requests.exceptions.SSLError:
        return False


@pytest.mark.parametrize(
    ("variables", "verify", "trusts"),
    [
        ([], None, False),
        ([], True, False),
        ([], False, True),
        ([], "file", True),
        (["REQUESTS_CA_BUNDLE"], None, True),
        (["CURL_CA_BUNDLE"], None, True),
        (["SSL_CERT_FILE"], None, False),
        (["REQUESTS_CA_BUNDLE"], True, True),
    ],
)
@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_the_trusted_certificates_are_those_that_requests_would_take(
    connect, secure, authority, monkeypatch, variables, verify, trusts
):
    for name in variables:
        monkeypatch.setenv(name, str(authority.certificate))
    given = str(authority.certificate) if verify == "file" else verify
    assert requests_trusts(secure.url, given) == trusts
    secure.received.clear()
    face = connect(secure.url, policy=NO_RETRIES, verify=given)
    if trusts:
        assert face.call("list-all-cases").status == 200
        return
    with pytest.raises(PersonaTransportError):
        face.call("list-all-cases")
    assert not secure.received


def test_both_clients_say_why_there_is_no_connection(connect, secure):
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"http://127.0.0.1:{server.getsockname()[1]}"
    for host, said in (
        (secure.url, "the certificate is not trusted"),
        (closed, "the connection was refused"),
        ("https://persona.invalid", "the name of the host is unknown"),
    ):
        with pytest.raises(PersonaTransportError, match=said):
            connect(host, policy=NO_RETRIES).call("list-all-cases")


def test_the_connections_verify_wins_over_the_environment(connect, secure, authority, monkeypatch):
    import certifi

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.certificate))
    with pytest.raises(PersonaTransportError):
        connect(secure.url, policy=NO_RETRIES, verify=certifi.where()).call("list-all-cases")


def test_certificates_are_read_once_and_again_when_their_file_is_replaced(connect, serve, authority, tmp_path):
    (tmp_path / "next").mkdir()
    renewed = make_authority(tmp_path / "next")
    before, after = (serve(always(answer({"data": []})), each.context) for each in (authority, renewed))

    def trusted():
        return network_of(PersonaSettings.checked(api_key=SANDBOX_KEY, verify=str(authority.certificate))).ssl_context()

    def answers(server):
        try:
            return connect(server.url, policy=NO_RETRIES, verify=str(authority.certificate)).call("list-all-cases")
        except PersonaTransportError:
            return None

    first = trusted()
    assert answers(before)
    assert not answers(after)
    assert trusted() is first
    renewed.certificate.replace(authority.certificate)
    assert answers(after)
    assert not answers(before)
    assert trusted() is not first


@pytest.mark.skipif(shutil.which("openssl") is None, reason="names of certificates in a folder are made by openssl")
@pytest.mark.parametrize("is_linked", [True, False])
def test_a_folder_of_certificates_is_trusted_by_its_hashed_names(connect, secure, authority, tmp_path, is_linked):
    folder = tmp_path / "trusted"
    folder.mkdir()
    if is_linked:
        command = ["openssl", "x509", "-hash", "-noout", "-in", str(authority.certificate)]
        hashed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        shutil.copy(authority.certificate, folder / f"{hashed}.0")
    face = connect(secure.url, policy=NO_RETRIES, verify=str(folder))
    if is_linked:
        assert face.call("list-all-cases").status == 200
    else:
        with pytest.raises(PersonaTransportError):
            face.call("list-all-cases")


@pytest.mark.parametrize("variable", [None, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize(
    ("content", "said"), [(None, "there is no such file"), ("no certificate", "no certificate can")]
)
def test_certificates_that_are_missing_are_an_error_that_names_them(
    connect, secure, tmp_path, monkeypatch, variable, content, said
):
    path = tmp_path / "missing.pem"
    if content is not None:
        path.write_text(content)
    if variable:
        monkeypatch.setenv(variable, str(path))
    face = connect(secure.url, policy=NO_RETRIES, **({} if variable else {"verify": str(path)}))
    with pytest.raises(PersonaSettingsError) as caught:
        face.call("list-all-cases")
    assert f"{variable or 'verify'}" in str(caught.value)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


# ---------------------------------------------------------------------- what the session of the blocking client does


def test_the_key_stays_on_the_connections_host(serve, ways):
    own = ways["direct"]
    with PersonaClient(PersonaSettings.checked(api_key=SANDBOX_KEY, host=own.url)) as client:
        for url in (f"{own.url}/api/v1/cases", f"{ways['A'].url}/x", own.url.replace("127.0.0.1", "localhost") + "/x"):
            client.session.get(url, timeout=5).close()
        assert [json.dumps(received.headers).count(SANDBOX_KEY) for received in own.received] == [1, 0]
    assert SANDBOX_KEY not in repr(ways["A"].received)


@pytest.mark.parametrize(
    ("url", "gets_key"),
    [
        ("https://api.withpersona.com/x", True),
        ("https://API.withpersona.com:443/x", True),
        ("http://api.withpersona.com/x", False),
        ("http://api.withpersona.com:443/x", False),
        ("https://api.withpersona.com:8443/x", False),
        ("https://api.withpersona.com.example/x", False),
        ("https://api.withpersona.com@elsewhere.example/x", False),
        ("https://elsewhere.example\\@api.withpersona.com/x", False),
    ],
)
def test_the_key_is_bound_to_scheme_host_and_port(url, gets_key):
    with PersonaClient(PersonaSettings.checked(api_key=SANDBOX_KEY)) as client:
        prepared = client.session.prepare_request(requests.Request("GET", url))
    assert (prepared.headers.get("Authorization") == f"Bearer {SANDBOX_KEY}") is gets_key


@pytest.mark.parametrize("proxies", [None, "A"])
def test_the_session_logs_no_query_either(ways, caplog, proxies):
    caplog.set_level(logging.DEBUG)
    way = ways[proxies or "direct"]
    settings = PersonaSettings.checked(
        api_key=SANDBOX_KEY, host=ways["direct"].url, proxies={"http": way.url} if proxies else None
    )
    with PersonaClient(settings) as client:
        client.session.get(f"{settings.host}/x?filter[reference-id]=alice@example.com", timeout=5).close()
    assert "alice" in way.received[0].target
    assert "/x" in caplog.text
    assert "alice" not in caplog.text


def test_what_the_user_of_the_session_says_wins(ways):
    settings = PersonaSettings.checked(api_key=SANDBOX_KEY, host=ways["direct"].url, proxies={"http": ways["A"].url})
    with PersonaClient(settings) as client:
        client.session.get(f"{settings.host}/x", proxies={"http": ways["B"].url}, timeout=5).close()
        client.session.get(f"{settings.host}/x", timeout=5).close()
    assert [len(ways[name].received) for name in ("direct", "A", "B")] == [0, 1, 1]
