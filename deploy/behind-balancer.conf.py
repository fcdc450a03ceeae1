"""Behind a balancer that passes TCP on and names the client by a PROXY header.

For an AWS Network Load Balancer with proxy_protocol_v2.enabled, HAProxy with send-proxy-v2, Envoy
or Traefik. Belongs in /srv/shop/gunicorn.conf.py. TLS ends here.
"""

import os

bind = "0.0.0.0:8443"
certfile = "/etc/ssl/shop/fullchain.pem"
keyfile = "/etc/ssl/shop/key.pem"

proxy_protocol = "v2"
# The subnets of the balancer: a header is believed, and others get 403 for one.
proxy_allow_ips = os.environ.get("BALANCERS", "10.0.0.0/8")
# A client cannot get past the balancer. Its health checks send a header, too, or only connect.
proxy_protocol_required = True

workers = os.environ.get("WEB_CONCURRENCY") or "auto"
threads = 4

# Above the balancer's own time for idle connections (350 s at AWS), so that it closes them first.
keepalive = 360
graceful_timeout = 30

accesslog = "-"
errorlog = "-"
