"""What Waybill does in a second, beside what the servers it stands on can do: `make bench`, docs/performance.md."""
