"""A server as its operations see it."""

from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request

from orthoforge.serving.forge import Forge
from orthoforge.serving.job_runner import JobRunner
from orthoforge.serving.layers import Layers
from orthoforge.serving.models import Models
from orthoforge.serving.parts import Parts
from orthoforge.serving.problems import Problem
from orthoforge.serving.settings import Settings


class Serving(Parts):
    """A server's parts, with its maps, its forge, and from its start on its jobs."""

    jobs: JobRunner

    def __init__(self, models: Models, settings: Settings, layers: Sequence[Path]) -> None:
        super().__init__(models, settings)
        self.maps = Layers(self, layers)
        self.forge = Forge(self, self.maps)


def serving_of(request: Request) -> Serving:
    """The server that a request came to."""
    found: Serving = request.app.state.serving
    return found


def admitted(request: Request) -> None:
    """Let a request in: by its key, and as often as it may come. ``Problem`` otherwise."""
    serving = serving_of(request)
    serving.rate.require(serving.keys.require(request))


def query_is_known(request: Request) -> None:
    """``Problem`` for a field of the query that the operation does not know, or that comes twice: it would change nothing."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name in known and given.count(name) == 1:
            continue
        why = "it comes twice" if name in known else "there is no such field"
        here = f"Fields of this address are: {', '.join(known)}." if known else "This address takes no fields behind a `?`."
        of_body = " Send those of the form in the form." if request.method == "POST" else ""
        raise Problem("invalid", f"{name[:80]}: {why}. {here}{of_body}", errors=[{"field": name[:80], "message": why}])
