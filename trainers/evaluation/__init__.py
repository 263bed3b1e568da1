"""Outputs in, result rows out: references, controls, judging. Imports `metrics`, `models` and all folders above."""
