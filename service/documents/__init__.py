"""Delivery notes, proformas and invoices: data in, PDF bytes out, and the signed links that lead to them.

`content` says what a document is about, `render` makes the PDF, `links` signs addresses. Nothing here knows the
database or HTTP.
"""
