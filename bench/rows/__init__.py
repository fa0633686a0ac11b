"""What can be measured. A new row is a module with a function that takes a `Bench` and yields rows, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from bench.bench import Bench
from bench.results import Row
from bench.rows import (
    bulk,
    chain,
    completions,
    create_shipment,
    documents,
    order_import,
    processes,
    provider,
    relay,
    slow_provider,
    tables,
    worker,
)

Measure = Callable[[Bench], Iterator[Row]]

# By the name on the command line, in the order of the table.
ROWS: Mapping[str, Measure] = MappingProxyType(
    {
        "completions": completions.measure,
        "bulk": bulk.measure,
        "provider": provider.measure,
        "slow-provider": slow_provider.measure,
        "create": create_shipment.measure,
        # Before queues are filled: for a while after, the broker is busy with what came of that.
        "chain": chain.measure,
        "relay": relay.measure,
        "worker": worker.measure_empty,
        "mail": worker.measure_mail,
        "import": order_import.measure,
        "documents": documents.measure,
        "tables": tables.measure,
        "processes": processes.measure,
    }
)
