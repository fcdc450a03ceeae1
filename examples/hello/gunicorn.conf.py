"""The configuration of the example: two workers of four threads, and a status port."""

import os
import tempfile

workers = 2
threads = 4
accesslog = "-"

_status = os.path.join(tempfile.gettempdir(), f"monoceros-example-{os.getpid()}.sock")
status_bind = f"unix:{_status}"
raw_env = [f"STATUS_SOCKET={_status}"]
