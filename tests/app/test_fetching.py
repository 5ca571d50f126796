"""Fetching for user code: whatever an address says that comes with an event, nothing private is reached."""

import gzip
import socket
import threading
import time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest

from kith import FetchError
from shared.adapters import fetching
from shared.adapters.fetching import Fetcher
from shared.core.fetch_rules import FetchRules, fetch_rules

PUBLIC = "93.184.216.34"
"""What a public name is resolved to here, and what leads to the server of these tests."""
WITHIN = "10.1.2.3"
"""Likewise, within a private network."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: C901, PLR0912 - a page each
        self.server.seen.append(self.path)
        match self.path.partition("?")[0]:
            case "/ok":
                self.answer(b'{"total": 1.10, "n": 7}', content_type="application/json")
            case "/headers":
                self.answer(str(dict(self.headers)).encode())
            case "/redirect":
                self.answer(b"", status=302, location=self.path.partition("?")[2])
            case "/loop":
                self.answer(b"", status=302, location="/loop")
            case "/large":
                self.answer(b"x" * 3000)
            case "/bomb":
                self.answer(gzip.compress(b"x" * 10_000_000), content_encoding="gzip")
            case "/slow":
                time.sleep(5)
            case "/trickle":
                self.trickle()
            case "/missing":
                self.answer(b"nothing", status=404)
            case "/extreme":
                self.answer(b"[1E+9999999999999999999]")
            case "/deep":
                self.answer(b"[" * 2000)
            case "/nonsense":
                self.answer(b"\xff", content_type="text/plain; charset=idna")
            case "/odd":
                self.answer("ü".encode("latin-1"), content_type="text/plain; charset=latin-1")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])), content_type="text/plain")

    def answer(self, body, status=200, **headers):
        self.send_response(status)
        for name, value in {"content_length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def trickle(self):
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        with self.server.closing:
            for _ in range(50):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.1)

    def log_message(self, *_):
        pass


class Closing:
    """What a client that went away raises in the thread of the server."""

    def __enter__(self):
        return self

    def __exit__(self, _kind, error, _trace):
        return isinstance(error, OSError)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    closing = Closing()

    def handle_error(self, *_):
        pass


@pytest.fixture(scope="module")
def serving():
    server = Server(("127.0.0.1", 0), Handler)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def server(serving, monkeypatch):
    """Resolve names as a test says, and lead the two addresses of tests to the server."""
    serving.seen.clear()
    serving.names = {"public.example.com": [PUBLIC], "within.example.com": [WITHIN]}
    serving.connected = []
    look_up = socket.getaddrinfo

    def getaddrinfo(host, port, *more, **others):
        if host in serving.names:
            found = serving.names[host]
            found = found.pop(0) if isinstance(found[0], list) else found
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]
        return look_up(host, port, *more, **others)

    connect = socket.create_connection

    def create_connection(address, *more, **others):
        serving.connected.append(address[0])
        if address[0] in (PUBLIC, WITHIN):
            address = ("127.0.0.1", serving.server_address[1])
        return connect(address, *more, **others)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "create_connection", create_connection)
    return serving


def fetch(path, rules=None, **options):
    return Fetcher(rules or FetchRules())(f"http://public.example.com{path}", **options)


def test_an_answer_tells_all_that_came(server):
    answer = fetch("/ok")
    assert (answer.status, answer.ok, answer.headers["content-type"]) == (200, True, "application/json")
    assert answer.json() == {"total": Decimal("1.10"), "n": 7}
    assert answer.text == '{"total": 1.10, "n": 7}'
    assert server.connected == [PUBLIC]
    missing = fetch("/missing")
    assert (missing.status, missing.ok, missing.body) == (404, False, b"nothing")
    assert fetch("/odd").text == "ü"
    with pytest.raises(ValueError):  # noqa: PT011 - the decoder's own
        missing.json()
    assert fetch("/extreme").json() == [Decimal("1E+100000000000000000")]
    with pytest.raises(ValueError, match="nests too deep"):
        fetch("/deep").json()
    assert fetch("/nonsense").text == "\ufffd"


@pytest.mark.usefixtures("server")
def test_a_request_carries_what_it_is_given():
    assert fetch("/x", method="POST", json={"n": Decimal("1.10")}).text == '{"n":1.10}'
    assert fetch("/x", method="POST", body="text").text == "text"
    told = fetch("/headers", headers={"Authorization": "Bearer x"}).text
    assert "'authorization': 'Bearer x'" in told
    assert "proxy" not in told.lower()


REFUSED = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1:9001/2018-06-01/runtime/invocation/next",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "http://[::ffff:169.254.169.254]/",
    "http://2852039166/",
    "http://169.254.170.2/v2/credentials",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://192.0.2.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://user:password@127.0.0.1/",
    "http://public.example.com@127.0.0.1/",
    "http://127.0.0.1#public.example.com/",
    "http://within.example.com/ok",
    "http://mixed.example.com/ok",
    "file:///etc/passwd",
    "ftp://public.example.com/",
    "gopher://public.example.com/",
    "//public.example.com/",
    "public.example.com/ok",
    "http:///ok",
    "http://",
    "",
    "http://public.example.com/\r\nHost: x",
    "http://unknown.invalid/",
]


PRIVATE = ["//within", "//10.", "//192.168.", "//172.16.", "//100.64.", "[fc00"]


@pytest.mark.parametrize("url", REFUSED)
def test_an_address_that_is_not_public_is_refused_before_anything_is_connected(server, url):
    server.names["mixed.example.com"] = [PUBLIC, "127.0.0.1"]
    with pytest.raises(FetchError):
        Fetcher(FetchRules())(url)
    assert server.connected == []


@pytest.mark.parametrize(
    "url",
    [one for one in REFUSED if not any(part in one for part in PRIVATE)],
)
def test_neither_this_machine_nor_its_link_is_reached_where_private_networks_are(server, url):
    server.names["mixed.example.com"] = [PUBLIC, "169.254.169.254"]
    with pytest.raises(FetchError):
        Fetcher(FetchRules(private=True))(url)
    assert server.connected == []


def test_private_networks_are_reached_where_the_builder_says_so(server):
    assert Fetcher(FetchRules(private=True))("http://within.example.com/ok").ok
    assert server.connected == [WITHIN]


def test_a_name_that_means_another_address_a_moment_later_gains_nothing(server):
    server.names["public.example.com"] = [[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]]
    assert fetch("/ok").ok
    assert server.connected == [PUBLIC]
    with pytest.raises(FetchError, match="none of the public network"):
        fetch("/ok")


@pytest.mark.parametrize("to", ["http://127.0.0.1/", "http://public.example.com/ok", "/ok", "file:///x"])
def test_redirects_are_refused(server, to):
    with pytest.raises(FetchError, match="redirects are not followed"):
        fetch(f"/redirect?{to}")
    assert len(server.seen) == 1


def test_redirects_are_followed_where_the_builder_says_so_and_each_is_checked(server):
    rules = FetchRules(redirects=True)
    assert fetch("/redirect?/ok", rules).ok
    for to in ("http://127.0.0.1/", "http://169.254.169.254/", "http://within.example.com/ok", "file:///x"):
        with pytest.raises(FetchError):
            fetch(f"/redirect?{to}", rules)
    with pytest.raises(FetchError, match="TooManyRedirects"):
        fetch("/loop", rules)
    assert server.seen.count("/loop") == fetching.REDIRECTS_MAX + 1
    assert set(server.connected) == {PUBLIC}


def test_only_hosts_that_are_allowed_are_fetched_from_also_after_redirects(server):
    server.names["a.example.org."] = [PUBLIC]
    rules = FetchRules(allow=("public.example.com", "*.example.org"), redirects=True)
    assert fetch("/ok", rules).ok
    assert Fetcher(rules)("http://A.example.org./ok").ok
    for host in ("example.org", "example.com", "evilexample.org", "public.example.com.evil.com"):
        server.names[host] = [PUBLIC]
        with pytest.raises(FetchError, match="none of those that"):
            Fetcher(rules)(f"http://{host}/ok")
        with pytest.raises(FetchError, match="none of those that"):
            fetch(f"/redirect?http://{host}/ok", rules)


@pytest.mark.usefixtures("server")
def test_an_answer_may_have_so_many_bytes_and_no_more():
    with pytest.raises(FetchError, match="over 1000 bytes"):
        fetch("/large", FetchRules(bytes_max=1000))


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("bytes_max", [1000, 100_000_000])
def test_an_answer_that_is_compressed_is_refused_before_it_grows(bytes_max):
    with pytest.raises(FetchError, match="compressed"):
        fetch("/bomb", FetchRules(bytes_max=bytes_max))


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("path", ["/slow", "/trickle"])
def test_all_of_it_takes_so_long_and_no_longer_however_it_trickles(path):
    started = time.monotonic()
    with pytest.raises(FetchError, match=r"longer than 0\.3 s"):
        fetch(path, FetchRules(timeout_s=0.3))
    with pytest.raises(FetchError, match=r"longer than 0\.2 s"):
        fetch(path, timeout=0.2)
    assert time.monotonic() - started < 2


def test_a_name_that_nobody_resolves_in_time_is_given_up(monkeypatch):
    waiting = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: waiting.wait(10) and [])
    with pytest.raises(FetchError, match=r"longer than 0\.1 s"):
        fetch("/ok", FetchRules(timeout_s=0.1))
    waiting.set()


@pytest.mark.usefixtures("server")
def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert fetch("/ok").ok


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "options",
    [{"headers": {"a": "x\r\nHost: evil"}}, {"method": "GET /x HTTP/1.1\r\nA:"}, {"headers": {"a b": "c"}}],
)
def test_nothing_is_smuggled_into_a_request(options):
    with pytest.raises(FetchError):
        fetch("/ok", **options)


def test_an_error_tells_nothing_of_what_was_sent(server):
    del server
    with pytest.raises(FetchError) as raised:
        Fetcher(FetchRules())("http://ann:s3cret@127.0.0.1/?token=s3cret")
    assert "s3cret" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__cause__ is None


@pytest.mark.parametrize(
    ("address", "private", "may"),
    [
        ("8.8.8.8", False, True),
        ("2606:4700:4700::1111", False, True),
        ("::ffff:8.8.8.8", False, True),
        ("64:ff9b::808:808", False, True),
        ("64:ff9b::a00:1", False, False),
        ("10.0.0.1", True, True),
        ("fd12::1", True, True),
        ("::ffff:10.0.0.1", True, True),
        ("127.0.0.1", True, False),
        ("169.254.169.254", True, False),
        ("::ffff:169.254.169.254", True, False),
    ],
)
def test_what_leads_to_another_address_is_judged_by_that(address, private, may):
    assert fetching._may_reach(ip_address(address), private=private) is may


def test_the_options_of_a_definition_are_rules():
    assert fetch_rules([]) == FetchRules()
    assert fetch_rules([("enabled", "false")]) is None
    assert fetch_rules([], in_rebuild=True) is None
    given = [("timeout", "3 seconds"), ("max_bytes", "7"), ("redirects", "true"), ("private", "true")]
    hosts = [("allow", "a"), ("allow", "b"), ("in_rebuild", "true")]
    assert fetch_rules([*given, *hosts], in_rebuild=True) == FetchRules(
        ("a", "b"), 3.0, 7, redirects=True, private=True
    )
