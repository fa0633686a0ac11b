"""What tests share: servers, sinks and processes. Nothing here asserts."""
