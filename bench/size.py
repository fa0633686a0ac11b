"""How much of everything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Size:
    """Counts are per round unless they say otherwise."""

    rounds: int = 3
    # of load per measurement
    seconds: int = 5
    callers: tuple[int, ...] = (1, 16, 64)
    workers: tuple[int, ...] = (1, 2)
    # of pgbench, where an API runs beside it: the number it is at its best with. 64 and the API's connections would be
    # too many for a server as it comes.
    clients: int = 16
    # completions a second that no measurement here will exceed, nor twice the share of one of the threads that make the
    # load: so many shipments are loaded for it
    most_per_second: int = 8000
    outbox_rows: int = 50_000
    messages: int = 20_000
    mails: int = 20_000
    chain_seconds: int = 20
    chain_per_second: int = 200
    import_orders: int = 5000
    starts: int = 3
    # shipments that have left, with three events each, in the tables before anything is measured
    scale: int = 10_000


QUICK = Size(
    rounds=1,
    seconds=2,
    callers=(16,),
    workers=(2,),
    outbox_rows=2000,
    messages=1000,
    mails=300,
    chain_seconds=3,
    chain_per_second=50,
    import_orders=300,
    starts=1,
    scale=1000,
)

# The scale that every larger one is compared with.
SMALL_SCALE = 10_000

FOLDER = Path(__file__).parent
