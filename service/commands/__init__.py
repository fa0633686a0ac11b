"""One module per command of the `waybill` command line."""
