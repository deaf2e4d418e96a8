from __future__ import annotations

from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from tinct.web.safety import COOKIE, Guard, is_loopback, known_hosts

TAB = {"X-Tinct-Tab": "t"}


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("in")(scope, receive, send)


def client(
    host: str = "127.0.0.1", token: str | None = None, base: str = "http://127.0.0.1:8765"
) -> TestClient:
    return TestClient(Guard(plain, known_hosts(host), token), base_url=base, follow_redirects=False)


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1:1", "[::1]:8765", "LOCALHOST", "127.0.0.1"])
def test_this_machine_is_known_by_its_own_names(host: str) -> None:
    assert client().get("/api/projects", headers={"Host": host}).text == "in"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "192.168.0.7:8765", ""]
)
def test_a_rebound_name_is_refused(host: str) -> None:
    answer = client().get("/", headers={"Host": host})
    assert answer.status_code == 403
    assert "this server answers for itself" in answer.json()["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:8765"}, 200),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_only_the_servers_own_page_may_change_things_or_listen(headers: dict[str, str], status: int) -> None:
    assert client().post("/api/projects/x/undo", headers=headers).status_code == status
    assert client().get("/api/projects/x/events", headers=headers).status_code == status


def test_other_sites_may_link_to_the_page_but_not_read_pictures() -> None:
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert client().get("/", headers=cross).status_code == 200
    assert client().get("/api/projects/x/frames/0.jpg", headers=cross).status_code == 403


def test_every_answer_carries_the_policy() -> None:
    for answer in (client().get("/"), client().get("/", headers={"Host": "evil.example"})):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_beyond_loopback_a_token_opens_once_and_a_cookie_from_then_on() -> None:
    browser: Any = client("0.0.0.0", "sesame", "http://192.168.0.7:8765")
    assert browser.get("/").status_code == 401
    assert browser.get("/?token=wrong").status_code == 401
    assert browser.post("/api/x?token=sesame", headers=TAB).status_code == 401
    opened = browser.get("/?token=sesame&a=b")
    assert (opened.status_code, opened.headers["location"]) == (303, "/?a=b")
    cookie = opened.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert browser.cookies[COOKIE] == "sesame"
    assert browser.get("/").text == "in"
    assert browser.post("/api/x", headers=TAB).text == "in"
    browser.cookies.set(COOKIE, "other")
    assert browser.get("/").status_code in (200, 401)


def test_the_way_in_leads_nowhere_else() -> None:
    browser = client("0.0.0.0", "sesame", "http://192.168.0.7:8765")
    opened = browser.get("http://192.168.0.7:8765//evil.example/?token=sesame")
    assert opened.headers["location"] == "/evil.example/"


def test_which_addresses_are_this_machine_alone() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.168.0.7", "example.com", ""))
