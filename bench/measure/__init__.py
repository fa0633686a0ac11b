"""Running what makes the load and what counts it, and reading what it says."""
