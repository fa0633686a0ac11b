"""A capture as the sandbox provider is asked for it, keeps it and tells it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class CaptureRequest(BaseModel):
    """What a client asks for. Amount in minor units. Under one idempotency key, only `final` may differ."""

    model_config = ConfigDict(frozen=True, strict=True)

    authorization: Annotated[str, Field(min_length=1, max_length=255)]
    amount: Annotated[int, Field(gt=0, lt=2**63)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    final: bool


class Entry(BaseModel):
    """A decided capture. Only a captured one moved money."""

    model_config = ConfigDict(frozen=True)

    id: str
    idempotency_key: str
    request: CaptureRequest
    status: Literal["captured", "declined"]
    reason: str = ""
    decided_at: datetime

    def as_answer(self) -> dict[str, str]:
        """Return what the client is told."""
        answer = {"status": self.status, "id": self.id, "idempotency_key": self.idempotency_key}
        return answer | {"reason": self.reason} if self.status == "declined" else answer

    def as_ledger_row(self) -> dict[str, Any]:
        """Return the row of `GET /ledger`."""
        return {
            "id": self.id,
            "idempotency_key": self.idempotency_key,
            "authorization": self.request.authorization,
            "amount": self.request.amount,
            "currency": self.request.currency,
            "captured_at": self.decided_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
