from __future__ import annotations

import pytest

from consumers.settings import WrongSetting
from consumers.webhooks.reach import Reach, parse_reach

PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:4001::1"]
PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.1.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::8.8.8.8",
    "100::1",
    "2001:db8::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
# Public addresses in another one's clothes, and private ones.
TRANSLATED = [
    "::ffff:8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::8.8.8.8",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::10.0.0.1",
    "2002:808:808::1",
    "2002:7f00:1::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached_with_encryption_only(address: str) -> None:
    assert Reach().permits(address, encrypted=True)
    assert not Reach().permits(address, encrypted=False)


@pytest.mark.parametrize("address", [*PRIVATE, *TRANSLATED])
@pytest.mark.parametrize("encrypted", [True, False])
def test_no_other_address_is(address: str, encrypted: bool) -> None:
    assert not Reach().permits(address, encrypted=encrypted)


@pytest.mark.parametrize(
    "text", ["", "localhost", "8.8.8", "0x7f.1", "2130706433", "8.8.8.8:443", "[2606::1]", "8.8.8.8\n"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    assert not parse_reach(["0.0.0.0/0", "::/0"]).permits(text, encrypted=True)


def test_an_allowed_network_is_reached_also_without_encryption() -> None:
    reach = parse_reach(["10.20.0.0/16", "::1"])
    for address in ("10.20.3.4", "::1"):
        assert reach.permits(address, encrypted=True)
        assert reach.permits(address, encrypted=False)
    for address in ("10.21.0.1", "127.0.0.1", "::2", "169.254.169.254"):
        assert not reach.permits(address, encrypted=True)
    assert not reach.permits("8.8.8.8", encrypted=False)


@pytest.mark.parametrize("address", [*PUBLIC, *PRIVATE, *TRANSLATED])
def test_everything_can_be_allowed(address: str) -> None:
    assert parse_reach(["0.0.0.0/0", "::/0"]).permits(address, encrypted=False)


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("64:ff9b::/96", "64:ff9b::8.8.8.8", "64:ff9b::10.0.0.1"),
        ("::ffff:0:0/96", "::ffff:8.8.8.8", "::ffff:169.254.169.254"),
        ("2002::/16", "2002:808:808::1", "2002:7f00:1::1"),
    ],
)
def test_allowing_a_translation_does_not_allow_what_hides_behind_it(network: str, inside: str, outside: str) -> None:
    reach = parse_reach([network])
    assert reach.permits(inside, encrypted=True)
    assert not reach.permits(outside, encrypted=True)


@pytest.mark.parametrize("network", ["10.0.0.0/40", "example.com", "10.0.0.1/8", "*"])
def test_a_wrong_network_is_named(network: str) -> None:
    with pytest.raises(WrongSetting, match="WAYBILL_WEBHOOKS_ALLOWED_NETWORKS: ") as caught:
        parse_reach(["10.0.0.0/8", network])
    assert network in str(caught.value)
