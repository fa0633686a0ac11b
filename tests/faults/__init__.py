"""Faults with real processes and real servers, and what compares the ledgers afterwards."""
