"""Metrics for the library ``evaluate``; each folder is a Space."""
