"""References, controls and judging: from outputs to result rows. Imports `metrics`, `models` and all folders above."""
