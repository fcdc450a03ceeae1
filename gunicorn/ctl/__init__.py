"""gunicornc, the command that speaks to a running server, and its parts.

`protocol` has the messages of the control socket, `client` a client to import, `find` the sockets
of the servers that run, `cli` the command.
"""

from gunicorn.ctl.client import ControlClient
from gunicorn.ctl.protocol import ControlProtocol

__all__ = ["ControlClient", "ControlProtocol"]
