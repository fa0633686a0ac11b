"""Mail addresses as an SMTP server can be told them: one mailbox, nothing smuggled in beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import idna

_LONGEST_LOCAL: Final = 64
_LONGEST_DOMAIN: Final = 255
# Dots may stand anywhere: some large providers handed out such addresses. Above ASCII anything that prints.
_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\-\u00a1-\U0010ffff]+")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_ASCII_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NAMED = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>")


class InvalidAddress(ValueError):
    """Not a mailbox. The message does not quote it, because it goes to logs."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox; the domain is ASCII, the local part only if `needs_smtputf8` is false."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only servers with the SMTPUTF8 extension can take it."""
        return not self.local.isascii()


def parse_address(text: str) -> Address:
    """Return the address that `text` is, an international domain in its ASCII form. Raise `InvalidAddress`."""
    local, at, domain = text.strip(" ").rpartition("@")
    if not at:
        raise InvalidAddress("it has no @")
    if not _LOCAL.fullmatch(local) or not local.isprintable() or len(local.encode()) > _LONGEST_LOCAL:
        raise InvalidAddress("the part before the @ is empty, too long or holds what no mailbox may")
    return Address(local, _ascii_domain(domain))


def parse_sender(text: str) -> tuple[str, Address]:
    """Return the display name, which may be empty, and address of `Name <address>` or `address`."""
    named = _NAMED.fullmatch(text.strip(" "))
    if named is None:
        return "", parse_address(text)
    return named["name"].strip(' "'), parse_address(named["address"])


def _ascii_domain(domain: str) -> str:
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except UnicodeError:
            raise InvalidAddress("the part after the @ is not an international domain name") from None
    if not _ASCII_DOMAIN.fullmatch(domain) or len(domain) > _LONGEST_DOMAIN:
        raise InvalidAddress("the part after the @ is not a domain name")
    return domain.lower()
