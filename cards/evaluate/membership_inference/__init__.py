"""How well one number per row tells forget rows from test rows: a metric for the library ``evaluate``."""
