"""Logging to syslog: a server that stops, restarts or is not there costs a line, and no worker."""

import errno
import logging
import os
import socket
import threading
import time
from logging import handlers

from gunicorn import util

TIMEOUT = 1.0  # seconds that the server may take for a connection or a record
PAUSE = 1.0  # seconds between two tries to reach it …
DATAGRAM_MAX = 8192  # bytes of a record that is too long for one
SHARE = 10  # … and at least so many times the duration of a try


class _Server:
    """The state of a syslog server, shared by the handlers of this process.

    A worker inherits it, so it does not repeat the reports of the master.
    """

    def __init__(self, where):
        self.where = where
        self.known = False  # it has been reached once
        self.down = False
        self.retry_at = 0.0
        self._lost = 0
        self._pid = os.getpid()
        self._reporter = None  # the thread that reports that it is down

    def is_reporting(self):
        return self._reporter == threading.get_ident()

    def fail(self, reason, began, lost=0):
        """It was not reached; `began` is when that was tried."""
        now = time.monotonic()
        self.retry_at = now + max(PAUSE, SHARE * (now - began))
        self.lose(lost)
        if self.down:
            return
        self.down = True
        self._reporter = threading.get_ident()
        try:
            _report(
                logging.WARNING,
                f"syslog at {self.where} cannot be reached: {reason}. Records for it are lost "
                "until it can; this is tried every second. Start it, or correct syslog_addr.",
            )
        finally:
            self._reporter = None

    def lose(self, count=1):
        if self._pid != os.getpid():
            self._pid, self._lost = os.getpid(), 0
        self._lost += count

    def reach(self, again=False):
        """A connection was made; `again`: in place of one that had broken."""
        was_down, self.down, self.known = self.down, False, True
        self.retry_at = 0.0
        if was_down or again:
            self.lose(0)
            lost, self._lost = self._lost, 0
            text = (
                f"syslog at {self.where} is reached again, {lost} records of this process were lost"
            )
            _report(logging.WARNING if lost else logging.INFO, text)


_servers: dict = {}


def _report(level, text):
    """Log to the error log; to the standard error if that goes nowhere else."""
    log = logging.getLogger("gunicorn.error")
    others = [h for h in log.handlers if not isinstance(h, handlers.SysLogHandler)]
    if log.disabled or not others:
        util.say(text)
    log.log(level, text)


class SysLogHandler(handlers.SysLogHandler):
    """One that connects again, waits for at most `TIMEOUT`, and says once that it cannot."""

    def __init__(self, where, address, facility, socktype):
        logging.Handler.__init__(self)
        self.address = address
        self.facility = facility
        self.socktype = socktype
        self.unixsocket = isinstance(address, str)
        self.socket = None
        self.server = _servers.setdefault(where, _Server(where))

    def connect(self, again=False):
        """Raises OSError."""
        self.socket = self._make_socket()
        self.server.reach(again)

    def _make_socket(self):
        if self.unixsocket:
            kinds = [self.socktype] if self.socktype else [socket.SOCK_DGRAM, socket.SOCK_STREAM]
            return _first(_connected, [(socket.AF_UNIX, kind, 0, self.address) for kind in kinds])
        found = socket.getaddrinfo(*self.address, type=self.socktype)
        open = _connected if self.socktype == socket.SOCK_STREAM else _unconnected
        return _first(open, [(family, kind, proto, to) for family, kind, proto, _, to in found])

    def _disconnect(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def close(self):
        self.acquire()
        try:
            self._disconnect()
            logging.Handler.close(self)
        finally:
            self.release()

    def emit(self, record):
        server, began = self.server, time.monotonic()
        if server.is_reporting():
            return
        try:
            message = self._message(record)
        except Exception:
            self.handleError(record)
            return
        if self.socket is None and began < server.retry_at:
            server.lose()
            return
        try:
            self._deliver(message)
        except OSError as exc:
            self._disconnect()
            server.fail(exc.strerror or exc, began, lost=1)

    def _message(self, record):
        text = self.ident + self.format(record) + ("\0" if self.append_nul else "")
        priority = self.encodePriority(self.facility, self.mapPriority(record.levelname))
        return f"<{priority}>{text}".encode()

    def _deliver(self, message):
        """Send by the connection that is there, or if that is broken by a new one."""
        again = self.socket is not None
        if again:
            try:
                if not self._has_ended():
                    self._send(message)
                    return
            except OSError:
                pass
            self._disconnect()
        self.connect(again)
        self._send(message)

    def _has_ended(self):
        """Whether the server has closed: a first record would be taken, and lost, all the same."""
        if self.socket.type != socket.SOCK_STREAM:
            return False
        self.socket.settimeout(0)
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        finally:
            self.socket.settimeout(TIMEOUT)

    def _send(self, message):
        try:
            self._put(message)
        except OSError as exc:
            if exc.errno != errno.EMSGSIZE:
                raise
            self._put(message[:DATAGRAM_MAX])

    def _put(self, message):
        if self.unixsocket or self.socktype == socket.SOCK_STREAM:
            self.socket.sendall(message)
        else:
            self.socket.sendto(message, self.address)


def _first(open, candidates):
    """Return the first socket that can be opened. Raises the OSError of the last that cannot."""
    for number, candidate in enumerate(candidates, 1):
        try:
            return open(*candidate)
        except OSError:
            if number == len(candidates):
                raise
    raise OSError("the name has no address")


def _unconnected(family, kind, proto, _address):
    sock = socket.socket(family, kind, proto)
    sock.settimeout(TIMEOUT)
    return sock


def _connected(family, kind, proto, address):
    sock = _unconnected(family, kind, proto, address)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock
