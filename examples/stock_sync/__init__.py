"""The consumer that docs/writing-a-consumer.md adds, step by step. Tested, and not among Waybill's own."""
