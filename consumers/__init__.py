"""From the broker to an effect that happens once: runtime, settling, inbox, one package per consumer."""
