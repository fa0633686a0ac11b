"""Addresses as the lines of an envelope."""

from __future__ import annotations

from typing import Final

from service.documents.content import Address
from service.documents.language import Language

# Where the postal code follows the city; elsewhere it comes before.
_POSTAL_CODE_LAST: Final = frozenset({"US", "CA", "AU", "NZ", "GB", "IE", "IN", "ID", "PK", "TH", "ZA", "SG", "TW"})


def address_lines(address: Address, *, language: Language) -> list[str]:
    """Return an address line by line, what is unknown left out, the country in the document's language."""
    code, city, region = address.postal_code, address.city, address.region
    town = (city, region, code) if address.country in _POSTAL_CODE_LAST else (code, city, region)
    lines = (
        address.name,
        address.company,
        address.street,
        address.street2,
        " ".join(part for part in town if part),
        language.country(address.country) if address.country else None,
    )
    return [line for line in lines if line]
