"""One module per family of figures: records in, a figure and the data behind it out."""
