import signal
import socket
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from gunicorn._core import Slot
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.sock import BaseSocket
from gunicorn.workers.workertmp import WorkerTmp

STOP_SHARE: float
STOP_MARGIN: float
FAST_EXIT_PAUSE: float

class Worker:
    SIGNALS: list[signal.Signals]
    PIPE: list[int]
    wsgi: Callable[..., Iterable[bytes]] | None
    master_pipe: int
    uses_engine: bool
    tls: Any
    exchange: Any
    forked_from: int | None

    age: int
    pid: int | str
    ppid: int
    sockets: list[BaseSocket]
    app: BaseApplication
    timeout: float
    cfg: Config
    log: Logger
    booted: bool
    aborted: bool
    alive: bool
    reloader: Any
    nr: int
    max_requests: int
    tmp: WorkerTmp
    wait_fds: list[BaseSocket | int]

    def __init__(
        self,
        age: int,
        ppid: int,
        sockets: list[BaseSocket],
        app: BaseApplication,
        timeout: float,
        cfg: Config,
        log: Logger,
    ) -> None: ...
    @property
    def slot(self) -> Slot | None: ...
    def notify(self) -> None: ...
    def run(self) -> None: ...
    def handle_error(
        self,
        req: Any,
        client: socket.socket,
        addr: tuple[str, int] | str | None,
        exc: BaseException,
    ) -> None: ...
    def init_process(self) -> None: ...
    def disown(self) -> None: ...
    def park_copy(self) -> None: ...
    def load_wsgi(self) -> None: ...
    def init_signals(self) -> None: ...
    def handle_usr1(self, sig: int, frame: FrameType | None) -> None: ...
    def handle_exit(self, sig: int, frame: FrameType | None) -> None: ...
    def patience(self) -> float: ...
    def margin(self) -> float: ...
    def handle_quit(self, sig: int, frame: FrameType | None) -> None: ...
    def handle_abort(self, sig: int, frame: FrameType | None) -> None: ...
    def handle_winch(self, sig: int, frame: FrameType | None) -> None: ...
