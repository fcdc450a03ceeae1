"""An application that asks a PostgreSQL server, in each of the ways that drivers wait.

/psycopg2 by a wait callback, as programs that run in greenlets install one; /psycopg by what
psycopg 3 finds out by itself. The query string is for how many seconds the server takes.
"""

import os
import socket

DSN = os.environ["DATABASE"]


def wait_in_hub(connection):
    import psycopg2
    from psycopg2 import extensions

    while (state := connection.poll()) != extensions.POLL_OK:
        if state == extensions.POLL_READ:
            wait(connection.fileno(), False)
        elif state == extensions.POLL_WRITE:
            wait(connection.fileno(), True)
        else:
            raise psycopg2.OperationalError(f"poll() says {state}")


def wait(fd, write):
    if "gevent" in socket.socket.__module__:
        from gevent.socket import wait_read, wait_write

        (wait_write if write else wait_read)(fd)
    else:
        from eventlet.hubs import trampoline

        trampoline(fd, read=not write, write=write)


def ask(connection, seconds):
    try:
        cursor = connection.cursor()
        cursor.execute(f"SELECT pg_sleep({seconds})")
        return cursor.fetchone()[0]
    finally:
        connection.close()


def by_psycopg2(seconds):
    import psycopg2
    from psycopg2 import extensions

    extensions.set_wait_callback(wait_in_hub)
    return ask(psycopg2.connect(DSN), seconds)


def by_psycopg(seconds):
    import psycopg

    return ask(psycopg.connect(DSN, autocommit=True), seconds)


def app(environ, start_response):
    by = {"/psycopg2": by_psycopg2, "/psycopg": by_psycopg}[environ["PATH_INFO"]]
    body = by(environ["QUERY_STRING"]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
