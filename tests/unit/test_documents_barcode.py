"""The printed shipment number can be scanned, by a decoder that shares no code with what draws it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.documents.barcode import draw_barcode
from service.documents.content import DocumentKind
from service.documents.render import render_document
from tests.support.documents import barcodes, content

# Everything that an order may be called, and the number of its shipment.
NUMBERS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}-[1-9][0-9]{0,2}", fullmatch=True)


def scanned(number: str) -> list[tuple[str, str]]:
    return barcodes(render_document(DocumentKind.DELIVERY_NOTE, content(shipment_number=number)))


@pytest.mark.parametrize(
    ("number", "symbology"),
    [
        ("100001-1", "Code 128"),
        ("1-1", "Code 128"),
        ("83651-12", "Code 128"),
        ("WEB.2026_A-1", "Code 128"),
        ("SE-2026-11-00123456789-12", "Code 128"),
        ("order-" + "aB3_" * 14 + "zz-999", "QR Code"),
    ],
)
def test_a_number_is_a_code_128_or_if_that_is_too_wide_a_qr_code(number: str, symbology: str) -> None:
    assert scanned(number) == [(symbology, number)]


@settings(max_examples=25, deadline=None)
@given(NUMBERS)
def test_every_number_can_be_scanned(number: str) -> None:
    assert [text for _, text in scanned(number)] == [number]


@given(NUMBERS)
def test_bars_are_wide_enough_for_hand_scanners_and_fit_the_page(number: str) -> None:
    barcode = draw_barcode(number)
    assert barcode.width_mm <= 80
    modules = int(barcode.svg.split(b'width="')[1].split(b'"')[0])
    assert 0.25 <= barcode.width_mm / modules <= 0.6
    assert barcode.quiet_mm == pytest.approx(barcode.width_mm / modules * (10 if barcode.height_mm == 11 else 4))


def test_what_code_128_has_no_sign_for_becomes_a_qr_code() -> None:
    assert scanned("Ä-1") == [("QR Code", "Ä-1")]
