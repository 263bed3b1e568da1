"""Forward passes over a split, the outputs they give, and their files. Imports `engine`."""
