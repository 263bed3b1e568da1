"""Command lines, tables, text and files: what every other folder uses. Imports nothing of ours."""
