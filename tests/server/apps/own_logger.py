"""A logger of the user's own: the access log cannot be written past it."""

from gunicorn.glogging import Logger


class Own(Logger):
    def access(self, resp, req, environ, request_time):
        super().access(resp, req, environ, request_time)
