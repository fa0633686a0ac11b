"""The consumer that mails customers when their shipment has left."""

from consumers.email.handler import open_handler

__all__ = ["open_handler"]
