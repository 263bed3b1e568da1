"""Outputs in, result rows out: references, controls, judging. Imports `metrics`, `models` and the folders above."""
