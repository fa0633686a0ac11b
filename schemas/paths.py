"""Where the HTTP contracts live. Apart from the documents, which take half a second to import."""

from __future__ import annotations

from typing import Final

SHIPMENTS_BASE: Final = "/integration/api/shipping/v1/shipments"
ORDERS_BASE: Final = "/integration/api/orders/v1/orders"
