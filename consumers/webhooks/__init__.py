"""The consumer that brings events to partners by HTTP: it fans out in the inbox's transaction, and sends beside it."""

from consumers.webhooks.handler import open_handler

__all__ = ["open_handler"]
