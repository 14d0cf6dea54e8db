"""Bands of an image: any number. Three at a time are looked at by people, and by networks that know three.

Users number them from 1, as GDAL does; here and in arrays they count from 0.
"""

from collections.abc import Sequence

from orthoforge.errors import ConfigError

RGB = (0, 1, 2)


def require_band_numbers(numbers: Sequence[int] | None) -> None:
    """Raise ``ConfigError`` unless these are bands of a file by their number from 1, each once, or ``None`` for all."""
    if numbers is not None and (not numbers or min(numbers) < 1 or len(set(numbers)) < len(numbers)):
        raise ConfigError(f"bands are {list(numbers)}; they are numbers from 1 on, each once.")


def shown_bands(count: int, wanted: Sequence[int] | None = None) -> tuple[int, ...]:
    """The three bands that stand for red, green and blue: the first three, or ``wanted``; of fewer the last one again.

    Raises ``ConfigError`` for ``wanted`` that are not three, or not there.
    """
    if wanted is None:
        return tuple(min(band, count - 1) for band in RGB)
    if len(wanted) != 3 or not all(0 <= band < count for band in wanted):
        numbers = " ".join(str(band + 1) for band in wanted)
        raise ConfigError(
            f"bands {numbers}: to look at images as red, green and blue, three bands from 1 to {count} are needed; "
            f"{'for example 4 1 2 for near infrared as red' if count > 3 else 'leave --bands out'}."
        )
    return tuple(wanted)


def unseen_bands(count: int, looked_at: Sequence[int]) -> str | None:
    """'Of 4 bands only 1, 2, 3 were looked at.', by their number from 1; ``None`` where there are no others."""
    return f"Of {count} bands only {', '.join(map(str, looked_at))} were looked at." if count > len(set(looked_at)) else None


def band_views(count: int) -> list[tuple[int, ...]]:
    """Bands by threes, so that a network of three bands sees all of them: the first three, then each two more beside the first.

    Of four bands (0, 1, 2) and (3, 0, 1): red, green, blue and what is called false colour, near infrared, red, green.
    """
    views = [shown_bands(count)]
    views += [(band, band + 1, 0) if band + 1 < count else (band, 0, 1) for band in range(3, count, 2)]
    return views
