"""Charts, tables and media players as SVG and HTML; imports nothing else of the Space."""
