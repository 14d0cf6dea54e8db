"""What schemathesis draws from a server's OpenAPI document, sent to it, and what its answers break."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

DEADLINE = 504
MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)


def drawn_answers(url: str, known: Mapping[str, Any], mask: bytes, examples: int, only: str = "") -> dict[str, Counter]:
    """Statuses by operation of ``examples`` valid and as many invalid requests of each. Raises where an answer is not as
    documented, or a 5xx other than that a deadline has passed.

    Strings that nobody could guess are often replaced: parameters of the path by those in ``known``, the file by ``mask``.
    """
    session, seen = requests.Session(), defaultdict(Counter)
    document = session.get(f"{url}/openapi.json").json()

    def ask(case, is_known):
        if is_known:
            for name in known.keys() & dict(case.path_parameters or {}).keys():
                case.path_parameters[name] = known[name]
            if isinstance(case.body, dict) and "mask" in case.body:
                case.body["mask"] = mask
        answer = case.call(base_url=url, session=session, timeout=60)
        seen[case.operation.label][answer.status_code] += 1
        # A string is a valid file in the schema, and no image: that it is refused is right.
        excluded = [positive_data_acceptance, *([not_a_server_error] if answer.status_code == DEADLINE else [])]
        case.validate_response(answer, excluded_checks=excluded)

    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = result.ok()
        if only not in operation.label:
            continue
        # Nothing invalid can be said in a path of strings alone.
        has_more = bool(operation.query.items or operation.body.items) or "{z}" in operation.label
        for mode in MODES if has_more else MODES[:1]:
            _drawn(operation, mode, ask, examples)
    return dict(seen)


def _drawn(operation, mode, ask, examples: int) -> None:
    """``ask`` with so many cases of an operation."""

    @given(operation.as_strategy(generation_mode=mode), st.booleans())
    @settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def draw(case, is_known):
        ask(case, is_known)

    draw()
