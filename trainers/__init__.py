"""Room 2: what happens to a model (`methods`), and how it is judged (`metrics`)."""
