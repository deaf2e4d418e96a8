"""Access control: the hosts, origins and token that a request must show, and the headers of every answer.

A page of another site that the same browser has open must neither read nor change anything here: a name of
its own that it points at this machine (DNS rebinding) is no host that we know, its calls carry an origin that
is not ours, and what it embeds is marked as coming from another site.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "tinct_token"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src "
    "'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors "
    "'none'"
)

_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}

_READS = ("GET", "HEAD")


def is_loopback(host: str) -> bool:
    """Whether an address to bind to can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def known_hosts(host: str) -> frozenset[str]:
    """The names by which a server bound to `host` may be called, besides addresses in digits."""
    local = {"localhost", "127.0.0.1", "[::1]"}
    return frozenset(local if is_loopback(host) else local | {host.lower(), socket.gethostname().lower()})


class Guard:
    """Middleware that rejects foreign requests, and adds the security headers to every answer.

    Args:
        app: The guarded application.
        hosts: Host names by which it may be called.
        token: The token that every browser must show; None on loopback.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], token: str | None = None) -> None:
        self._app, self._hosts, self._token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        rejection = self._rejection(scope, Headers(scope=scope))
        await (rejection or self._app)(scope, receive, send_with_headers)

    def _rejection(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if not self._is_known(host):
            return _error_response(
                f"A call for the host {host[:100]!r} came; this server answers for itself only. Open the "
                "address that `tinct app` printed."
            )
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        changing = scope["method"] not in _READS
        guarded = changing or scope["path"].startswith("/api")
        if guarded and origin is not None and origin.partition("://")[2].lower() != host.lower():
            return _error_response(
                f"A call from the origin {origin[:100]!r} came; only this server's own page may."
            )
        if guarded and site not in ("same-origin", "none"):
            return _error_response(
                "A call from a page of another site came; only this server's own page may."
            )
        return self._token_missing(scope, headers)

    def _is_known(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name.lower() in self._hosts:
            return True
        # A call by an IP address cannot come from DNS rebinding, which needs a name.
        return self._token is not None and _is_address(name.strip("[]"))

    def _token_missing(self, scope: Scope, headers: Headers) -> Response | None:
        if self._token is None:
            return None
        shown = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        if secrets.compare_digest(shown.encode(), self._token.encode()):
            return None
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        given = query.pop("token", "")
        if scope["method"] in _READS and secrets.compare_digest(given.encode(), self._token.encode()):
            return _redirect_with_cookie(scope["path"], query, self._token)
        return _error_response(
            "A call without this server's token came. Open the whole address that `tinct app` printed, with "
            "?token=... at its end.",
            401,
        )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _redirect_with_cookie(path: str, query: Mapping[str, str], token: str) -> Response:
    """Redirect to the same URL without the token, which is set as a cookie."""
    # One slash: two would make the browser go to another host.
    target = "/" + path.lstrip("/") + (f"?{urlencode(query)}" if query else "")
    response = RedirectResponse(target, 303)
    response.set_cookie(COOKIE, token, httponly=True, samesite="strict", path="/")
    return response


def _error_response(text: str, status: int = 403) -> Response:
    return JSONResponse({"error": text}, status)
