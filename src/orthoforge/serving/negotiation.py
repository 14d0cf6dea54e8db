"""Which form of an answer a client wants, by its ``Accept`` header."""

from collections.abc import Sequence

from orthoforge.serving.problems import Problem


def chosen(accept: str | None, offered: Sequence[str]) -> str:
    """The offered media type that is wanted most; the first of several that are wanted alike. ``Problem`` where none is."""
    if not accept:
        return offered[0]
    wanted = [_quality(offer, accept) for offer in offered]
    best = max(range(len(offered)), key=lambda index: (wanted[index], -index))
    if not wanted[best]:
        raise Problem("not-acceptable", f"The answer comes as {' or '.join(offered)}; the request accepts {accept[:200]!r}.")
    return offered[best]


def _quality(offer: str, accept: str) -> float:
    """How much a media type is wanted, by the most specific range that holds it."""
    found = (-1, 0.0)
    for part in accept.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        kind = offer.split("/")[0]
        rank = {offer: 2, f"{kind}/*": 1, "*/*": 0}.get(name.lower())
        if rank is not None:
            found = max(found, (rank, _q(parameters)))
    return found[1]


def _q(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
