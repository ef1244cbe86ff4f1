"""Tables in Markdown.

Requirements: none.
"""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(
    header: Sequence[str], body: Sequence[Sequence[str]], left: Sequence[int]
) -> str:
    """A table in Markdown; the columns of `left` are aligned to the left."""
    rule = [":--" if i in left else "--:" for i in range(len(header))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *body])
