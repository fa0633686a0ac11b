"""Orders to try Waybill with, derived from public data; README.md here tells from which, and how."""
