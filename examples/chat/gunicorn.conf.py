"""The configuration of the chat: two asgi workers, their meeting place, and a status port."""

import contextlib
import os
import tempfile

workers = 2
worker_class = "asgi"
graceful_timeout = 10
websocket_ping_interval = 30
accesslog = "-"

if "CHAT_DIRECTORY" not in os.environ:  # it is there at a reload, and for the new master of USR2
    os.environ["CHAT_DIRECTORY"] = tempfile.mkdtemp(prefix="monoceros-chat-")
_meeting = os.environ["CHAT_DIRECTORY"]
status_bind = f"unix:{_meeting}/status"


def on_exit(server):
    with contextlib.suppress(OSError):  # another master still uses it
        os.rmdir(_meeting)


def post_worker_init(worker):
    # The page asks for the workers each second: no line for that in the terminal.
    worker.log.access_log.addFilter(lambda record: record.args["U"] != "/workers")
