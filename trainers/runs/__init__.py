"""Runs from request to row: plan, run, sweep, and their commands. Imports every folder above it."""
