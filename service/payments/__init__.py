"""The port to payment providers and its implementations."""
