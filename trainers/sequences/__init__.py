"""Requests that come one after the other: run, judged after every one, and shown as a table. Imports `runs`."""
