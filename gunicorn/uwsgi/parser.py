"""The packets of a connection."""

from gunicorn.http.parser import Parser
from gunicorn.uwsgi.message import UWSGIRequest


class UWSGIParser(Parser):
    """Requests from a socket or an iterable of bytes, one after the other."""

    mesg_class = UWSGIRequest
