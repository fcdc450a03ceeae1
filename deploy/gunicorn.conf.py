"""What all of these run with, in /srv/shop/gunicorn.conf.py."""

import multiprocessing

# Where nginx finds it. Not used where systemd opens the socket.
bind = "unix:/run/shop/shop.sock"

workers = multiprocessing.cpu_count()
threads = 4

# Above the time that nginx keeps idle connections for, so that it closes them first.
keepalive = 75
graceful_timeout = 30

# Standard output and error: whoever started the server writes, rotates and sends them on.
accesslog = "-"
errorlog = "-"
