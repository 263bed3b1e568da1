"""Evidence of the shipped rows, one parquet file per table, and a script that recomputes S without mubench."""
