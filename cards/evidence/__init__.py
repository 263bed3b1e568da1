"""Evidence of the shipped rows, one parquet file a table, and the script that recomputes S from it; imports nothing of ours."""
