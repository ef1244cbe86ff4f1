"""A page of a run: what was scored with what, a summary of the effects, and figures.

The page is one HTML file that loads nothing from elsewhere.

Requirements: numpy; matplotlib and logomaker for its figures.
"""
