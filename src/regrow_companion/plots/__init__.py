"""The pictures and tables of every notebook, by its number: records in, a figure and the data behind it out."""
