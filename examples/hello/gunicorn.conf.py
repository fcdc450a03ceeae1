"""The configuration of the example: two workers of four threads, and a status port."""

import os
import tempfile

workers = 2
threads = 4
accesslog = "-"

_status = os.path.join(tempfile.gettempdir(), f"monoceros-example-{os.getpid()}.sock")
status_bind = f"unix:{_status}"
raw_env = [f"STATUS_SOCKET={_status}"]


def post_worker_init(worker):
    # The page asks for its numbers each second: no line for that in the terminal.
    worker.log.access_log.addFilter(lambda record: record.args["U"] != "/numbers")
