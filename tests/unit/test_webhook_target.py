from __future__ import annotations

import pytest

from consumers.webhooks.reach import Reach, parse_reach
from consumers.webhooks.target import UnusableUrl, check_target, parse_target
from tests.support.webhooks import FakeNames

NAMES = {
    "good_example": ["93.184.216.34", "2606:4700::1111"],
    "inside_example": ["10.0.0.7"],
    "mixed_example": ["93.184.216.34", "127.0.0.1"],
}


@pytest.mark.parametrize(
    "url",
    [
        "https://partner.example/hooks?token=1",
        "https://partner.example:8443",
        "http://10.0.0.1/",
        "https://[2606:4700::1111]/hook",
        "https://xn--bcher-kva.example/",
    ],
)
def test_absolute_urls_are_read(url: str) -> None:
    assert parse_target(url).host


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "printable"),
        ("https://partner.example/a b", "printable"),
        ("https://bücher.example/", "printable"),
        ("https://partner.example/\r\nX: y", "printable"),
        ("https://partner.example/" + "x" * 2000, "2000"),
        ("partner.example/hook", "https://host/path"),
        ("/hook", "https://host/path"),
        ("ftp://partner.example/", "https://host/path"),
        ("file:///etc/passwd", "https://host/path"),
        ("https:///hook", "https://host/path"),
        ("https://partner.example:0/", "https://host/path"),
        ("https://partner.example:99999/", "not a URL"),
        ("https://[::1/", "not a URL"),
        ("https://user:geheim@partner.example/", "credentials"),
        ("https://user@partner.example/", "credentials"),
        ("https://partner.example/#part", "fragment"),
    ],
)
def test_other_urls_are_refused_and_not_quoted(url: str, told: str) -> None:
    with pytest.raises(UnusableUrl, match=told) as caught:
        parse_target(url)
    assert "geheim" not in str(caught.value)


async def check(url: str, reach: Reach = Reach()) -> None:  # noqa: B008 - it is frozen
    await check_target(parse_target(url), reach=reach, resolver=FakeNames(**NAMES))


async def test_a_public_host_is_taken() -> None:
    await check("https://good.example/hook")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://inside.example/hook", "10.0.0.7, which is not a public address"),
        # One of them would do for the attack, so one of them is enough to refuse.
        ("https://mixed.example/hook", "127.0.0.1, which is not a public address"),
        ("http://good.example/hook", "https is required"),
        ("http://inside.example/hook", "10.0.0.7, which is not a public address"),
        ("https://nowhere.example/hook", "does not resolve"),
    ],
)
async def test_other_hosts_are_refused_with_the_reason(url: str, told: str) -> None:
    with pytest.raises(UnusableUrl, match=told):
        await check(url)


async def test_an_allowed_network_is_taken_without_https() -> None:
    await check("http://inside.example/hook", parse_reach(["10.0.0.0/24"]))
