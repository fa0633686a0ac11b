"""The domain: orders, shipments and the money for them."""
