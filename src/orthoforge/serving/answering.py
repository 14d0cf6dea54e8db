"""What the server's processes have in common: they read orders, a line of JSON each, and answer each by a line.

An answer is ``{}``, and what was made lies in the order's folder; or the error's kind and words.
"""

import errno
import json
import os
import resource
import sys
import traceback
from collections.abc import Callable

from orthoforge.errors import DataError, OrthoforgeError
from orthoforge.serving.wording import over_http

_FILES = 64  # open at once
_TOO_LARGE = {"error": "too-large", "words": "this needs more memory than the server gives to it. Send something smaller."}


UNFORESEEN = "unforeseen"
"""What no work is meant to raise. Whose fault it is, who asked knows."""


class TooLargeError(DataError):
    """More pixels than are allowed."""


def answer(line: bytes, work: Callable[[bytes], None]) -> dict[str, str]:
    """Do what an order says, and what to say of it."""
    try:
        work(line)
    except TooLargeError as error:
        return {"error": "too-large", "words": str(error)}
    except OrthoforgeError as error:
        return {"error": "invalid", "words": over_http(str(error))}
    except MemoryError:
        return _TOO_LARGE
    except OSError as error:
        if error.errno == errno.ENOMEM:
            return _TOO_LARGE
        return {"error": "no-room", "words": f"the server could not read or write a file of its own ({error.strerror})."}
    except Exception as error:
        traceback.print_exc()  # into the server's log: a fault of ours, which the client need not read
        return {"error": UNFORESEEN, "words": type(error).__name__}
    return {}


def answer_all(work: Callable[[bytes], None]) -> None:
    """Read orders until there are none any more. The first argument of the process is how many bytes of memory it may take."""
    most_bytes = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    out.write(b"{}\n")  # ready
    out.flush()
    for line in sys.stdin.buffer:
        out.write(json.dumps(answer(line, work)).encode() + b"\n")
        out.flush()
