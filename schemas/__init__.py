"""What crosses a border: request and answer bodies, events, the broker's topology. Data only, no I/O."""
