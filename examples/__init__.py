"""Programs that the guides in docs/ walk through. Tested, and not part of what is installed."""
