"""A line over a grid as SVG, for figures in the documentation."""

import html
import math
from collections.abc import Sequence

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 40, 48
_LETTERS = 'font-family="sans-serif" font-size="12" fill="#333"'
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def line_plot(points: Sequence[tuple[float, float]], *, title: str, across: str, up: str, limit: float) -> str:
    """An SVG of `points` (x, y), with a dashed line at y = `limit`; both axes begin at 0."""
    widest, highest = max(x for x, _ in points), max(limit, *(y for _, y in points)) * 1.1

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            _LEFT + (_WIDTH - _LEFT - _RIGHT) * x / widest,
            _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * y / highest,
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {_LETTERS}>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        _text(_WIDTH / 2, 22, title, size=15),
        _text(_WIDTH / 2, _HEIGHT - 10, across),
        f'<g transform="translate(16 {_HEIGHT / 2}) rotate(-90)">{_text(0, 0, up)}</g>',
    ]
    for value in _ticks(highest):
        (left, y), (right, _) = place(0, value), place(widest, value)
        parts.append(f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="#ddd"/>')
        parts.append(_text(left - 6, y + 4, f"{value:g}", anchor="end"))
    for value in _ticks(widest):
        x, y = place(value, 0)
        parts.append(_text(x, y + 18, f"{value:g}"))
    (left, y), (right, _) = place(0, limit), place(widest, limit)
    parts.append(f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="#c33" stroke-dasharray="6 4"/>')
    parts.append(_text(right, y - 6, f"limit {limit:g}", anchor="end"))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
    parts.append(f'<polyline points="{line}" fill="none" stroke="#2060b0" stroke-width="2"/>')
    return "\n".join([*parts, "</svg>\n"])


def _ticks(most: float) -> list[float]:
    """About six round values from 0 up to `most`."""
    power = 10 ** math.floor(math.log10(most / 6))
    step = next(step * power for step in _STEPS if step * power * 6 >= most)
    return [step * number for number in range(int(most / step) + 1)]


def _text(x: float, y: float, words: str, size: int = 12, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{html.escape(words)}</text>'
