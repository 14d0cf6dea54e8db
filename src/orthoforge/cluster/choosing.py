"""Which team a command's ``--on`` means."""

from orthoforge.cluster.here import Here
from orthoforge.cluster.team import Team
from orthoforge.errors import ConfigError

RAY = "ray"


def team_on(on: str | None, *, here: Here, most: int | None = None) -> Team:
    """The team that ``on`` names: ``here`` where it is ``None``, else that of ``ray`` or ``ray://HOST:PORT``.

    ``most`` items are worked on at once there, where that is said. Raises ``ConfigError`` for another name and without the extra
    ``ray``, ``ResourceError`` where no cluster answers.
    """
    if on is None:
        return here
    if on != RAY and not on.startswith(f"{RAY}://"):
        raise ConfigError(f"--on {on}: it is ray, or ray://HOST:PORT. Leave it out to work on this machine without Ray.")
    from orthoforge.cluster.on_ray import OnRay

    return OnRay(None if on == RAY else on, most=most)
