"""Which addresses a webhook may reach: public ones over https, and whatever networks the operator allows besides.

Partners choose the URLs and we connect, from inside a network that trusts us. The tables say what is not public by the
IANA registries of special-purpose addresses; the standard library's own opinion differs between Python versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

from consumers.settings import WrongSetting

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_NOT_PUBLIC_V4: Final = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and the metadata service of one cloud
        "127.0.0.0/8",
        "168.63.129.16/32",  # looks public; inside one cloud it is the host's own service
        "169.254.0.0/16",  # link-local, and the metadata service of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation, as the next ones of /24
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Nothing else is global unicast today.
_PUBLIC_V6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_V6: Final = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
# Where an IPv4 address hides in an IPv6 one: the network, and the bits below the IPv4 address.
_EMBEDDING: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),  # mapped
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("64:ff9b:1::/48"), 0),  # NAT64 of a local network; the position is its own choice, this the usual one
    (IPv6Network("2002::/16"), 80),  # 6to4
)


@dataclass(frozen=True, slots=True)
class Reach:
    """What may be reached. `allowed` networks may be although they are not public, and without encryption."""

    allowed: tuple[Network, ...] = ()

    def permits(self, address: str, *, encrypted: bool) -> bool:
        """Say whether a connection may be made to this literal address. What is not an address is refused."""
        try:
            return self._permits(ip_address(address), encrypted=encrypted)
        except ValueError:
            return False

    def _permits(self, address: Address, *, encrypted: bool) -> bool:
        hidden = _hidden(address)
        if hidden is not None and not self._permits(hidden, encrypted=encrypted):
            return False
        return any(address in network for network in self.allowed) or (encrypted and _is_public(address))


def parse_reach(networks: Sequence[str]) -> Reach:
    """Read networks such as `10.20.0.0/16` or `::1`. Raises `WrongSetting`."""
    try:
        return Reach(tuple(ip_network(each) for each in networks))
    except ValueError as error:
        raise WrongSetting(f"WAYBILL_WEBHOOKS_ALLOWED_NETWORKS: {error}") from None


def _hidden(address: Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    for network, below in _EMBEDDING:
        if address in network:
            return IPv4Address(int(address) >> below & 0xFFFF_FFFF)
    return None


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)
