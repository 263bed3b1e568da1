"""What the buttons do: plain functions, choices in, words, tables and pictures out; gradio is not known here."""
