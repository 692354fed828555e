"""Memory that a process frees and needs again."""

import platform
import subprocess
import sys

import pytest

AGAIN = """
import resource, threading
import numpy as np
from labor_jax.util import malloc

malloc.keep_freed()

def use():
    block = np.empty(200_000_000, np.uint8)
    block[::4096] = 1

def faults_of_the_second_use():
    use()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    use()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

faults_of_the_second_use()
thread = threading.Thread(target=faults_of_the_second_use)
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_a_freed_block_is_used_again_without_a_page_fault_in_every_thread():
    done = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, check=True)
    of_main, of_thread = map(int, done.stdout.split())
    assert of_main < 20 and of_thread < 20, "a block of 200 MB has 97 or more pages of 2 MB"
