"""Charts and tables of the pages as SVG and HTML; gradio is not known here."""
