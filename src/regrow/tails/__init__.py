"""The tail of a distribution of whole numbers (Section 4.6): fit, goodness of fit, other laws. Knows no networks."""
