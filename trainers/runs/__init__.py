"""Runs from request to row: plan, run, and their commands. Imports every folder above it."""
