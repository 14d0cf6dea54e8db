"""What a server frees stays with its process: images of a batch do not fetch their memory anew, page by page."""

import os
import platform
import subprocess
import sys

import pytest

CODE = """
import resource, threading
import numpy as np
from orthoforge.devices import keep_freed_memory
if {kept}:
    keep_freed_memory()
def work():
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(10_000_000)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
def test_a_large_array_is_fetched_once():
    def faults(kept):
        without_huge_pages = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
        words = [sys.executable, "-c", CODE.format(kept=kept)]
        found = subprocess.run(words, capture_output=True, check=True, env=without_huge_pages)
        return [int(line) for line in found.stdout.split()]

    plain, kept = faults(False), faults(True)
    assert kept[-1] < plain[-1] / 4


TRIMMED = """
import numpy as np
from orthoforge.devices import give_back_memory, keep_freed_memory
keep_freed_memory()
def resident():
    return int(open("/proc/self/statm").read().split()[1])
pieces = [np.ones(100_000) for _ in range(300)]
between = pieces[::2]  # what stays is strewn over what is freed
del pieces
before = resident()
give_back_memory()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
def test_what_is_free_between_other_pieces_is_given_back():
    found = subprocess.run([sys.executable, "-c", TRIMMED], capture_output=True, check=True)
    assert int(found.stdout) * os.sysconf("SC_PAGE_SIZE") > 0.8 * 150 * 800_000
