"""The HTTP edges, one module per contract. They decode, call one use case and encode; they hold no rule."""
