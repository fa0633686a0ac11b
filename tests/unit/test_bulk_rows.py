"""The rows of a bulk request: read as the single call reads them, and those of one shipment in their order."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.problems import problems_of
from schemas.shipment_completion import CompleteShipmentRequest
from service.bulk_completions import Row, _rounds
from service.http.bulk_rows import _from_line, _from_value
from service.shipping.complete_together import Completion
from service.shipping.departure import Departure

TEXTS = st.text(max_size=20) | st.sampled_from([" 1-1 ", "", " ", "1\n1", "x" * 300])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ROWS = st.fixed_dictionaries(
    {}, optional={"shipmentNumber": TEXTS | VALUES, "carrierTrackingNumber": TEXTS | VALUES, "other": VALUES}
)


def outcome(read: Any, value: Any) -> Any:
    try:
        return read(value)
    except ValidationError as error:
        return problems_of(error)


@given(VALUES | ROWS)
@example({"shipmentNumber": "1-1", "carrierTrackingNumber": None})
@example({"shipmentNumber": float("nan")})
def test_a_row_is_read_as_the_single_call_reads_it(value: Any) -> None:
    text = json.dumps(value)
    single = outcome(CompleteShipmentRequest.model_validate_json, text)
    assert outcome(_from_value, json.loads(text)) == single
    assert outcome(_from_line, text) == single


@given(st.lists(st.sampled_from(["1-1", "2-1", "3-1", "4-1"]), max_size=30))
def test_rounds_hold_every_row_once_and_a_shipment_s_rows_in_their_order(numbers: list[str]) -> None:
    rows = [
        Row(number, Completion(shipment, Departure(parcels=()), "request", "trace"))
        for number, shipment in enumerate(numbers, start=1)
    ]
    rounds = _rounds(rows)
    for together in rounds:
        assert max(Counter(row.completion.shipment_number for row in together).values()) == 1
    done = [row for together in rounds for row in together]
    assert sorted(done, key=lambda row: row.number) == rows
    for shipment in set(numbers):
        order = [row.number for row in done if row.completion.shipment_number == shipment]
        assert order == sorted(order)
