"""Figures of scores, and what they share: where sequences lie, rows, colours, marks and files.

`fastism.plot` has the names that users import. Figures are made without pyplot, so that nothing of
the caller's own figures or settings changes.

Requirements: numpy; matplotlib and logomaker for all that draws.
"""
