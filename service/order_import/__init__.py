"""Importing orders from files: JSON Lines and CSV, streamed, each order judged and taken in on its own."""
