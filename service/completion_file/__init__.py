"""Complete the shipments of a CSV file through the API, and keep what became of each row."""
