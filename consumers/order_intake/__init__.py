"""The consumer that takes in the orders that other systems announce on the topic."""

from consumers.order_intake.handler import OrderIntakeHandler, TakeIn
from consumers.order_intake.message import read_order

__all__ = ["OrderIntakeHandler", "TakeIn", "read_order"]
