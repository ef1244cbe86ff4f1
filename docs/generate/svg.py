"""A few shapes as SVG, in colours that follow the light or dark scheme of the page.

Requirements: none. Classes of shapes are styled in ``docs/assets/site.css``.
"""

from __future__ import annotations

from html import escape

#: Height of a line of text, in units of the drawing.
LINE = 16


class Drawing:
    """An SVG of a given size, in units of one pixel at full width.

    Parameters
    ----------
    width, height : float
    title : str
        What the drawing shows, for readers who do not see it.
    """

    def __init__(self, width: float, height: float, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self._shapes: list[str] = []

    def rect(self, x: float, y: float, width: float, height: float, style: str) -> None:
        """A rectangle; `style` is a class of the style sheet."""
        self._shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" class="{style}"/>'
        )

    def shade(self, x: float, y: float, width: float, height: float, value: float) -> None:
        """A rectangle whose opacity is the size of `value`, from -1 to 1, coloured by its sign."""
        sign = "plus" if value >= 0 else "minus"
        self._shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" class="{sign}"'
            f' fill-opacity="{min(abs(value), 1):.2f}"/>'
        )

    def line(self, x: float, y: float, to_x: float, to_y: float, style: str = "rule") -> None:
        """A straight line."""
        self._shapes.append(
            f'<line x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}" class="{style}"/>'
        )

    def text(self, x: float, y: float, text: str, anchor: str = "start", style: str = "") -> None:
        """A line of text whose base line is at `y`."""
        kind = f' class="{style}"' if style else ""
        self._shapes.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'
        )

    def polygon(self, points: list[tuple[float, float]], style: str) -> None:
        """A filled outline."""
        corners = " ".join(f"{x:g},{y:g}" for x, y in points)
        self._shapes.append(f'<polygon points="{corners}" class="{style}"/>')

    def figure(self, caption: str) -> str:
        """The drawing with a caption, as HTML on lines without gaps (a Markdown block)."""
        head = (
            f'<svg viewBox="0 0 {self.width:g} {self.height:g}" style="max-width: {self.width:g}px"'
            f' role="img" aria-label="{escape(self.title)}" xmlns="http://www.w3.org/2000/svg">'
        )
        caption = f"<figcaption>{escape(caption)}</figcaption>"
        return "\n".join(
            ['<figure class="drawing">', head, *self._shapes, "</svg>", caption, "</figure>"]
        )
