"""What all of these run with, in /srv/shop/gunicorn.conf.py."""

import os

# Where nginx finds it. Not used where systemd opens the socket.
bind = "unix:/run/shop/shop.sock"

# One for each processor that a container's quota allows. What is set here wins over the variable,
# so it has to be asked for.
workers = os.environ.get("WEB_CONCURRENCY") or "auto"
threads = 4

# Above the time that nginx keeps idle connections for, so that it closes them first.
keepalive = 75
graceful_timeout = 30

# Standard output and error: whoever started the server writes, rotates and sends them on.
accesslog = "-"
errorlog = "-"
