"""From the committed event to the broker: outbox, relay, one confirmed publish, wake-up."""
