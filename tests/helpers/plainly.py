"""Tests that are about plain connections: patterns of their names and why.

``pytest --tls`` leaves them out.
"""

from __future__ import annotations

STAYS = "what is waiting on a connection over TLS stays with its worker"
SCHEME = "over TLS the scheme is https, unless a trusted proxy says otherwise"
KEYS = "the environ has more keys over TLS"
NGINX = "nginx speaks uwsgi and FastCGI without TLS"
PLACE = "to have connected is to have a place: the handshake is done"

PLAIN_ONLY: dict[str, str] = {
    "test_tls*.py::*": "speaks TLS by itself",
    "test_testssl.py::*": "speaks TLS by itself",
    "test_http2.py::*": "HTTP/2 in clear text, and TLS by itself",
    "test_binding.py::*": "looks at sockets and what is said of them",
    "test_differential.py::*": "compares plain bytes",
    "test_samples.py::*": "the samples bind as they say",
    "test_fastcgi.py::*nginx*": NGINX,
    "test_fastcgi.py::test_the_environ[[]*": SCHEME,
    "test_fastcgi.py::test_a_proxy_that_reads_no_answers[[]*": "sends plain bytes",
    "test_uwsgi.py::*nginx*": NGINX,
    "test_uwsgi.py::test_the_environ[[]*": SCHEME,
    "test_uwsgi.py::test_variables[[]*": SCHEME,
    "test_uwsgi.py::test_hooks[[]*": SCHEME,
    "test_uwsgi.py::test_a_request_that_another_worker_takes[[]*": STAYS,
    "test_concurrency.py::test_worker_connections[[]*": PLACE,
    "test_faults.py::test_descriptors_are_used_up[[]*": PLACE,
    "test_connection.py::test_urgent_data_does_no_harm[[]*": "TLS knows no urgent data",
    "test_deadlines.py::test_c_code_that_holds_the_interpreter[[]*": STAYS,
    "test_limits.py::test_max_queue[[]*": "a socket is readable by tickets, too",
    "test_limits.py::test_max_queue_time_of_several_workers[[]*": STAYS,
    "test_standby.py::test_another_worker_accepts[[]*": STAYS,
    "test_memory.py::test_idle_connections_are_small[[]*": "OpenSSL keeps more of each",
    "test_slow_clients.py::test_one_busy_client_does_not_starve_another[[]*": (
        "ssl lets no two threads talk on a connection"
    ),
    "test_wsgi_environ.py::test_every_key[[]*": KEYS,
    "test_wsgi_environ.py::test_least[[]*": KEYS,
    "test_wsgi_environ.py::test_unix_peer[[]*": "the port is 443",
    "test_wsgi_environ.py::test_scheme_of_a_trusted_peer[[]*": SCHEME,
    "test_wsgi_environ.py::test_secure_scheme_headers[[]*": SCHEME,
    "test_wsgi_environ.py::test_forwarded_allow_ips*": SCHEME,
    "test_wsgi_environ.py::test_untrusted_peers_may_contradict_themselves[[]*": SCHEME,
}
