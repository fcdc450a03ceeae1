"""What all of these run with, in /srv/shop/gunicorn.conf.py."""

import multiprocessing
import os

# Where nginx finds it. Not used where systemd opens the socket.
bind = "unix:/run/shop/shop.sock"

# Containers say what they have: the machine's cores are more than that. What is set here wins over
# the variable, so it has to be asked for.
workers = int(os.environ.get("WEB_CONCURRENCY") or multiprocessing.cpu_count())
threads = 4

# Above the time that nginx keeps idle connections for, so that it closes them first.
keepalive = 75
graceful_timeout = 30

# Standard output and error: whoever started the server writes, rotates and sends them on.
accesslog = "-"
errorlog = "-"
