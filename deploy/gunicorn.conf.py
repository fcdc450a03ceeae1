"""The configuration of all these services, in /srv/shop/gunicorn.conf.py."""

import os

# Where nginx finds it. Not used where systemd opens the socket.
bind = "unix:/run/shop/shop.sock"

# One for each processor that a container's quota allows. A setting in this file wins over the
# variable of the environment, so the file has to read that.
workers = os.environ.get("WEB_CONCURRENCY") or "auto"
threads = 4

# Above the time that nginx keeps idle connections for, so that it closes them first.
keepalive = 75
graceful_timeout = 30

# Standard output and error: the service manager writes, rotates and sends them on.
accesslog = "-"
errorlog = "-"
