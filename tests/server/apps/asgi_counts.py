"""What is left in a worker: for the applications of the tests."""

import asyncio
import gc
import os
import sys


def counts():
    """Tasks, timers of asyncio's loop, descriptors, and blocks of memory."""
    gc.collect()
    loop = asyncio.get_running_loop()
    timers = [timer for timer in getattr(loop, "_scheduled", ()) if not timer.cancelled()]
    files = len(os.listdir("/proc/self/fd"))
    return [len(asyncio.all_tasks()), len(timers), files, sys.getallocatedblocks()]
