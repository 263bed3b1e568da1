"""Grids of runs on the cores of one machine, a Ray cluster or Slurm. Imports every folder above it."""
