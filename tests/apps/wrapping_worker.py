"""A worker class of somebody else's, with a server of its own, that asks gunicorn.sock for TLS."""

from process.plain import PlainWorker

from gunicorn import sock


class WrappingWorker(PlainWorker):
    """Wraps each connection, as gunicorn's own workers used to do."""

    def serve(self, client):
        assert self.cfg.is_ssl
        assert self.cfg.ssl_options["certfile"] == self.cfg.certfile
        assert self.tls is None  # the engine's, which is not asked here
        with sock.ssl_wrap_socket(client, self.cfg) as wrapped:
            super().serve(wrapped)


def app(environ, start_response):
    return [b"wrapped"]
