"""The embedded stack behind `waybill dev` and the tests: servers, sandbox payment provider, SMTP inbox."""
