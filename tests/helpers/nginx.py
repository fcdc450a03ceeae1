"""nginx in front of a server of the tests, by uwsgi_pass, fastcgi_pass, grpc_pass or proxy_pass."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from pathlib import Path

from helpers.server import free_port
from helpers.wire import wait_until

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

#: As nginx's files uwsgi_params and fastcgi_params have them.
PARAMS = """
      {kind}_param QUERY_STRING $query_string;
      {kind}_param REQUEST_METHOD $request_method;
      {kind}_param CONTENT_TYPE $content_type;
      {kind}_param CONTENT_LENGTH $content_length;
      {kind}_param REQUEST_URI $request_uri;
      {kind}_param PATH_INFO $document_uri;
      {kind}_param DOCUMENT_ROOT $document_root;
      {kind}_param SERVER_PROTOCOL $server_protocol;
      {kind}_param REQUEST_SCHEME $scheme;
      {kind}_param HTTPS $https if_not_empty;
      {kind}_param REMOTE_ADDR $remote_addr;
      {kind}_param REMOTE_PORT $remote_port;
      {kind}_param SERVER_PORT $server_port;
      {kind}_param SERVER_NAME $server_name;
"""

CONF = """
daemon off;
master_process off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log;
events {{ worker_connections 256; accept_mutex off; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  client_max_body_size 0;
  upstream server {{
    server {upstream};
    keepalive 8;
  }}
  server {{
    listen 127.0.0.1:{port}{version};
    location / {{
      {params}
      {more}
      {buffers}
      {kind}_pass {scheme}server;
    }}
  }}
}}
"""


BUFFERS = "{kind}_buffering {buffering}; {kind}_request_buffering {buffering};"
SCHEMES = {"proxy": "http://", "grpc": "grpc://"}


class Nginx:
    """Processes of nginx, which end with the block."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.processes: list[subprocess.Popen] = []

    def start(self, kind: str, upstream: str, buffering: str, more: str = "") -> tuple[str, int]:
        """Its address. `kind`: uwsgi, fastcgi, grpc or proxy; `more` lines of its location.

        With grpc it is reached by HTTP/2, with prior knowledge, as is the server.
        """
        port = free_port()
        conf = self.directory / f"nginx-{port}.conf"
        conf.write_text(
            CONF.format(
                directory=self.directory,
                upstream=upstream,
                port=port,
                params=PARAMS.format(kind=kind) if kind in ("uwsgi", "fastcgi") else "",
                kind=kind,
                more=more,
                buffers="" if kind == "grpc" else BUFFERS.format(kind=kind, buffering=buffering),
                version=" http2" if kind == "grpc" else "",
                scheme=SCHEMES.get(kind, ""),
            )
        )
        log = str(self.directory / "nginx-start.log")
        self.processes.append(subprocess.Popen([NGINX, "-e", log, "-c", str(conf)]))

        def listens():
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens, "nginx listens")
        return "127.0.0.1", port

    def __enter__(self) -> Nginx:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
