"""Why a request cannot be done. The messages are for callers: no internals, no secrets.

WaybillError
├── InvalidRequest            the request itself is wrong
├── ShipmentNotFound
├── OrderNotFound
├── OrderConflict             the order differs and can no longer change
├── ShipmentAlreadyShipped    true only: SHIPPED is committed
├── ShipmentNotReleased       its status, or its order's, does not allow shipping
├── ShipmentIsPaid            its content is fixed, and it cannot be removed
│   └── ShipmentIsCaptured    by money that was or may have been taken
├── SelectionRefused          the order cannot give these pieces
├── CaptureFailed             nothing was shipped
│   ├── CaptureDeclined       the provider refused
│   └── CaptureOutcomeUnknown the same request may be repeated
└── TemporarilyUnavailable    a lock, a connection or the provider could not be had in time
    └── CaptureNotSupported   there are no settings for the order's payment provider
"""

from __future__ import annotations

from collections.abc import Sequence


class WaybillError(Exception):
    """Base of everything that a caller is told."""


class InvalidRequest(WaybillError):
    """The request names the field that is wrong and what was expected."""


class ShipmentNotFound(WaybillError):
    """No shipment has this number."""

    def __init__(self, shipment_number: str) -> None:
        super().__init__(f"Shipment not found: {shipment_number}")


class OrderNotFound(WaybillError):
    """No order has this number."""

    def __init__(self, order_number: str) -> None:
        super().__init__(f"Order not found: {order_number}")


class OrderConflict(WaybillError):
    """The order is known with other content, which can no longer change. `differences` name each field."""

    def __init__(self, order_number: str, differences: Sequence[str]) -> None:
        super().__init__(f"Order {order_number} can no longer be changed: " + "; ".join(differences))
        self.differences = tuple(differences)


class ShipmentAlreadyShipped(WaybillError):
    """The shipment is SHIPPED, and that is committed."""

    def __init__(self, shipment_number: str) -> None:
        super().__init__(f"Shipment already completed: {shipment_number}")


class ShipmentNotReleased(WaybillError):
    """The shipment's status, or its order's, does not allow shipping."""


class ShipmentIsPaid(WaybillError):
    """Nothing is owed for the shipment any more."""

    def __init__(self) -> None:
        super().__init__("The shipment is paid.")


class ShipmentIsCaptured(ShipmentIsPaid):
    """The shipment's money was or may have been taken."""


class SelectionRefused(WaybillError):
    """The order has no such line, or not that many pieces left."""


class CaptureFailed(WaybillError):
    """The payment was not captured, as far as we know; the shipment stays as it was."""

    def __init__(self) -> None:
        super().__init__("The shipment could not be completed.")


class CaptureDeclined(CaptureFailed):
    """The provider refused. A later request makes a new attempt."""


class CaptureOutcomeUnknown(CaptureFailed):
    """Nobody knows yet whether money moved. Repeating the request asks the provider first."""


class TemporarilyUnavailable(WaybillError):
    """Nothing was changed for good; the same request may be repeated."""

    def __init__(self) -> None:
        super().__init__("The service is temporarily unavailable; repeat the request later.")


class CaptureNotSupported(TemporarilyUnavailable):
    """Nobody can be asked for the money: the order's payment provider is not configured here. Nothing was reserved."""
