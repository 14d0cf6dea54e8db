"""Which rectangles to generate for some blocks: each is made with a margin around it, so that few large ones are less work."""

from collections.abc import Sequence

from orthoforge.geo.grid import Window


def rectangles(blocks: Sequence[Window], margin_px: int) -> dict[Window, Window]:
    """For each of the blocks, which lie on one lattice, the rectangle that it is made in.

    One around all of them, or one for each part without gaps, whichever has fewer pixels with its margin.
    """
    if not blocks:
        return {}
    whole, parts = _around(blocks), _without_gaps(blocks)
    if _cost(whole, margin_px) <= sum(_cost(part, margin_px) for part in parts):
        return dict.fromkeys(blocks, whole)
    return {block: next(part for part in parts if _holds(part, block)) for block in blocks}


def _without_gaps(blocks: Sequence[Window]) -> list[Window]:
    """Rows of neighbouring blocks, and those together that lie below each other and are as wide."""
    rows: list[Window] = []
    for block in sorted(blocks, key=lambda one: (one.row, one.col)):
        last = rows[-1] if rows else None
        if last is not None and last.row == block.row and last.col + last.width == block.col:
            rows[-1] = last._replace(width=last.width + block.width)
        else:
            rows.append(block)
    parts: list[Window] = []
    for row in sorted(rows, key=lambda one: (one.col, one.width, one.row)):
        last = parts[-1] if parts else None
        if last is not None and (last.col, last.width, last.row + last.height) == (row.col, row.width, row.row):
            parts[-1] = last._replace(height=last.height + row.height)
        else:
            parts.append(row)
    return parts


def _around(blocks: Sequence[Window]) -> Window:
    top, left = min(one.row for one in blocks), min(one.col for one in blocks)
    bottom, right = max(one.row + one.height for one in blocks), max(one.col + one.width for one in blocks)
    return Window(top, left, bottom - top, right - left)


def _cost(window: Window, margin_px: int) -> int:
    return (window.height + 2 * margin_px) * (window.width + 2 * margin_px)


def _holds(part: Window, block: Window) -> bool:
    return (
        part.row <= block.row and block.row + block.height <= part.row + part.height
        and part.col <= block.col and block.col + block.width <= part.col + part.width
    )  # fmt: skip
