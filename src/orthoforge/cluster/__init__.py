"""Who does a command's work on many scenes: threads of this process, or the machines of a Ray cluster."""

from orthoforge.cluster.choosing import team_on
from orthoforge.cluster.here import Here
from orthoforge.cluster.team import Answer, Need, Team

__all__ = ["Answer", "Here", "Need", "Team", "team_on"]
