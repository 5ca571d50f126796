"""Fetching for user code: only by the rules of its builder, whatever address an event brings.

A host is resolved once, each of its addresses is checked, and one that was checked is connected to: a name
that means another address a moment later gains nothing. Redirects are refused, or each is checked as well.
"""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import httpcore
import httpx

from kith import FetchError
from shared.core.containers import decode_value
from shared.core.fetch_rules import FetchRules
from shared.core.made_json import json_kept

REDIRECTS_MAX: Final = 5
_READ_BYTES: Final = 2**14
_PRIVATE: Final = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
_METADATA: Final = ipaddress.ip_network("fd00:ec2::/32")
"""Where AWS serves instances by IPv6; by IPv4 that is an address of the link."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Fetched:
    """Implements `kith.Response`."""

    def __init__(self, response: httpx.Response, body: bytes) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = dict(response.headers)
        self.body = body
        self._encoding = response.charset_encoding or "utf-8"

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return httpx.codes.is_success(self.status)

    @property
    def text(self) -> str:
        """The answer as text."""
        try:
            return self.body.decode(self._encoding, errors="replace")
        except (LookupError, UnicodeError):  # an encoding that nobody knows, or that replaces nothing
            return self.body.decode(errors="replace")

    def json(self) -> Any:
        """Return the answer, decoded from JSON; numbers are int or Decimal. ValueError if it is none."""
        try:
            return decode_value(self.body)
        except RecursionError:
            raise ValueError("the answer nests too deep") from None


class Fetcher:
    """Implements `kith.Fetch`."""

    def __init__(self, rules: FetchRules) -> None:
        self._rules = rules
        self._ssl = httpx.create_ssl_context(trust_env=False)

    def __call__(
        self,
        url: str,
        /,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        json: Any = None,
        timeout: float | None = None,
    ) -> Fetched:
        """Fetch; FetchError if it fails."""
        time_s = self._rules.timeout_s if timeout is None else min(timeout, self._rules.timeout_s)
        sent = {"accept-encoding": "identity", **{name.lower(): one for name, one in (headers or {}).items()}}
        if json is not None:
            body = json_kept(json)
            sent.setdefault("content-type", "application/json")
        try:
            request = httpx.Request(method, url, headers=sent, content=body)
        except (httpx.InvalidURL, UnicodeError, ValueError, TypeError) as error:
            raise FetchError(f"this is no request: {type(error).__name__}") from None
        try:
            with self._client(time.monotonic() + time_s) as client:
                response = client.send(request, stream=True, follow_redirects=self._rules.redirects)
                return self._read(response)
        except httpx.TimeoutException:
            raise FetchError(f"it took longer than {time_s:g} s") from None
        except httpx.HTTPError as error:
            # Its text may quote what an event or a server says.
            raise FetchError(f"it failed: {type(error).__name__}") from None
        except (httpx.InvalidURL, UnicodeError) as error:
            raise FetchError(f"this is no request: {type(error).__name__}") from None

    def _client(self, end: float) -> httpx.Client:
        transport = _Transport(self._rules, self._ssl, end)
        left = httpx.Timeout(max(end - time.monotonic(), 0.001))
        return httpx.Client(transport=transport, trust_env=False, max_redirects=REDIRECTS_MAX, timeout=left)

    def _read(self, response: httpx.Response) -> Fetched:
        if response.is_redirect and not self._rules.redirects:
            raise FetchError("redirects are not followed: `fetch: {redirects: true}` allows them")
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            # A small answer may grow without bounds before the first part of it is seen.
            raise FetchError("the answer is compressed, which was not asked for")
        held = bytearray()
        for part in response.iter_raw(_READ_BYTES):
            held += part
            if len(held) > self._rules.bytes_max:
                raise FetchError(f"the answer has over {self._rules.bytes_max} bytes")
        return Fetched(response, bytes(held))


class _Transport(httpx.HTTPTransport):
    """Checks each request, also those that follow redirects, and connects to nothing but what was checked."""

    def __init__(self, rules: FetchRules, context: ssl.SSLContext, end: float) -> None:
        super().__init__(verify=context)
        self._rules = rules
        # httpx has no other way to say how a pool connects.
        self._pool = httpcore.ConnectionPool(ssl_context=context, network_backend=_Network(rules, end))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.scheme not in ("http", "https"):
            raise FetchError("only http and https are fetched")
        if not self._rules.allows(request.url.host.lower().rstrip(".")):
            raise FetchError("the host is none of those that `fetch: {allow: ...}` names")
        return super().handle_request(request)


class _Network(httpcore.NetworkBackend):
    """Connects to hosts whose addresses may all be reached, until time is up."""

    def __init__(self, rules: FetchRules, end: float) -> None:
        self._rules = rules
        self._end = end
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        del timeout
        addresses = _resolve(host, port, _left(self._end))
        for one in addresses:
            if not _may_reach(one, private=self._rules.private):
                raise FetchError("the address is none of the public network")
        last: Exception | None = None
        for one in addresses:
            try:
                stream = self._backend.connect_tcp(
                    str(one), port, _left(self._end), local_address, socket_options
                )
            except httpcore.ConnectError as error:
                last = error
            else:
                return _Stream(stream, self._end)
        raise httpcore.ConnectError("no address answers") from last

    def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        raise FetchError("only the network is fetched from")


class _Stream(httpcore.NetworkStream):
    """A stream on which everything together ends when time is up, however slowly it trickles."""

    def __init__(self, stream: httpcore.NetworkStream, end: float) -> None:
        self._stream = stream
        self._end = end

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        del timeout
        return self._stream.read(max_bytes, _left(self._end))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        del timeout
        self._stream.write(buffer, _left(self._end))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        del timeout
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left(self._end)), self._end)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("time is up")
    return left


def _resolve(host: str, port: int, time_s: float) -> list[_Address]:
    """Return the addresses of a host, in order; a thread looks them up, for no resolver has a time limit."""
    found: list[_Address] = []

    def look_up() -> None:
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        # A scope (`%eth0`) belongs to addresses that are refused anyway.
        found.extend(ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in infos)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(time_s)
    if thread.is_alive():
        raise httpcore.ConnectTimeout("the host is not resolved in time")
    if not found:
        raise httpcore.ConnectError("the host is unknown")
    return found


def _may_reach(address: _Address, *, private: bool) -> bool:
    """Say whether an address is public, or of a private network where those may be reached.

    Never one of this machine, nor of the link, where clouds keep credentials. What leads to other addresses
    is judged by those.
    """
    for one in _wrapped(address) or [address]:
        is_public = one.is_global and not (one.is_multicast or one.is_reserved)
        is_private = any(one in network for network in _PRIVATE) and one not in _METADATA
        if not is_public and not (private and is_private):
            return False
    return True


def _wrapped(address: _Address) -> list[_Address]:
    """Return the IPv4 addresses that an IPv6 one leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in found if one is not None]
