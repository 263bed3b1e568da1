"""Grids of runs on the cores of one machine or a Ray cluster. Imports every folder above it."""
