"""What docs/settings.md says of a setting beyond its line in the table: Markdown by name."""

# ruff: noqa: E501

INTRODUCTION = """\
Each setting has a name for the configuration file, and most have a flag for the command line.
A value comes from the first of these that gives one:

1. the command line,
2. the variable `GUNICORN_CMD_ARGS`, which holds flags as the command line does,
3. the configuration file: `-c PATH`, `-c file:PATH` or `-c python:MODULE`; without `-c`,
   `gunicorn.conf.py` in the directory that gunicorn is started in,
4. the framework: a PasteDeploy file, or an application of your own,
5. the default.

A configuration file is Python; each name in it that is a setting's, in lower case, sets it.
A name that only looks like a setting's is warned of. `gunicorn --check-config app:app` says what
is wrong with a configuration, `gunicorn --print-config app:app` what it comes to. Long flags can be
abbreviated as long as they stay unambiguous.
"""

ACCESS_LOG_FORMAT = """\
`%(NAME)s` stands for:

| name | |
|---|---|
| `h` | address of the client, as the connection has it |
| `l` | `-` |
| `u` | user of HTTP Basic authentication |
| `t` | time of logging, `[21/Nov/2026:07:05:00 +0000]` |
| `r` | request line, `GET /path?query HTTP/1.1` |
| `m` | method |
| `U` | path |
| `q` | query string |
| `H` | protocol |
| `s` | status |
| `B` | bytes of the response's body |
| `b` | the same, or `-` |
| `f` | referer |
| `a` | user agent |
| `T` | time taken in seconds |
| `M` | time taken in milliseconds |
| `D` | time taken in microseconds |
| `L` | time taken in seconds with six decimals |
| `p` | process id of the worker, `<123>` |
| `Q` | time in the queue, waiting for a thread, in seconds with six decimals; gunicorn does not have it |
| `{name}i` | a header of the request, `%({x-forwarded-for}i)s` |
| `{name}o` | a header of the response |
| `{name}e` | a variable of the WSGI environ |

What is missing is a `-`. Quotes, backslashes and control characters are escaped: `\\"`, `\\\\`, `\\x1b`.

`access_log_format = "json"` writes one JSON object a line, with the fields `time`, `pid`,
`remote_addr`, `user`, `method`, `target`, `path`, `query`, `protocol`, `host`, `status`, `bytes`,
`duration_us`, `referer` and `user_agent`. They keep their names; others may be added.
"""

STATSD = """\
| metric | type | |
|---|---|---|
| `gunicorn.requests` | counter | each request |
| `gunicorn.request.duration` | timer | milliseconds |
| `gunicorn.request.status.N` | counter | each request that was answered with status N |
| `gunicorn.log.critical`, `.error`, `.warning`, `.exception` | counter | each record |
| `gunicorn.workers` | gauge | the number of workers, when it changes |
| `gunicorn.backlog` | histogram | see `enable_backlog_metric` |

Records of your own become metrics, too:
`server.log.info("", extra={"metric": "my.gauge", "value": 3, "mtype": "gauge"})`; `mtype` is
`gauge`, `counter`, `histogram` or `timer`. Metrics that cannot be sent are lost; nothing waits.
"""

NOTES = {
    "bind": """\
Without a port it is 8000. A unix socket gets the mode that `umask` leaves and belongs to `user` and
`group`. `fd://3` is a socket that was opened by somebody else, and that descriptor's number.

```console
$ gunicorn -b 127.0.0.1:8000 -b '[::1]:8000' -b unix:/run/shop.sock shop:app
```
""",
    "backlog": "The kernel may have a lower limit of its own (`net.core.somaxconn`).\n",
    "workers": """\
Twice the number of cores, and one, is where to begin. SIGTTIN adds a worker and SIGTTOU removes one
while the server runs.
""",
    "worker_class": """\
| name | |
|---|---|
| `sync` | one request at a time |
| `gthread` | `threads` requests at a time |
| `gevent` | a greenlet for each request; needs the package gevent |
| `eventlet` | a green thread for each request; needs the package eventlet |
| `tornado` | for applications of Tornado's own kind; needs the package tornado |
| `asgi` | ASGI applications |

Also the dotted path of a subclass of `gunicorn.workers.base.Worker`, a class, or the name of an entry
point of the group `gunicorn.workers`, as `name` or `egg:DISTRIBUTION#name`.
""",
    "timeout": """\
A worker is silent while it works on one request or does not come back from the application. One that
waits for requests is not. The log says what the worker was doing.
""",
    "max_requests": "For applications that leak memory. Its last request is finished first.\n",
    "graceful_timeout": "Workers that are still there when it has passed are killed.\n",
    "keepalive": """\
Raise it above the idle time of a load balancer in front, so that this end is not the one who closes.
""",
    "reload": """\
A file that cannot be imported is shown to every client as a page with the traceback, until it is
saved again. Does not go with `preload_app`.
""",
    "reload_extra_files": """\
Patterns are expanded at each look, so that files which are created later are watched too; `**` goes
through directories.

```python
reload_extra_files = ["settings.yaml", "templates/**/*.html"]
```
""",
    "preload_app": """\
Saves memory, for the workers share what was loaded, and starts faster. In turn SIGHUP does not load
the application again.
""",
    "sendfile": "`wsgi.file_wrapper` uses it for files, where TLS is not in the way.\n",
    "raw_env": """\
```python
raw_env = ["DJANGO_SETTINGS_MODULE=shop.settings", "TZ=UTC"]
```
""",
    "pidfile": "`kill -HUP $(cat FILE)` reloads. The file is removed at exit.\n",
    "user": "Needs root. Log files and unix sockets are given to the user, too.\n",
    "umask": "`0022`, `0o22`, `0x12` and `18` are the same.\n",
    "secure_scheme_headers": """\
When a proxy that `forwarded_allow_ips` lists sends one of these headers with its value,
`wsgi.url_scheme` is https. Headers that disagree are refused.
""",
    "forwarded_allow_ips": """\
Addresses and networks (`10.0.0.0/8`). Clients on a unix socket are always believed. `*` is right only
where nobody but the proxy can connect.
""",
    "proxy_protocol": """\
The flag without a value means `auto`. Mind what follows it: `--proxy-protocol app:app` takes `app:app`
for the value; write `--proxy-protocol=auto app:app`.
""",
    "header_map": """\
`X_Forwarded_For` and `X-Forwarded-For` have the same name in the WSGI environ. `drop` leaves out the
first, `refuse` answers 400, `dangerous` mixes both.
""",
    "forwarder_headers": """\
From a peer in `forwarded_allow_ips`, these headers come through whatever `header_map` says. The proxy has
to remove them from what clients send.
""",
    "strip_header_spaces": "Such requests are understood differently by different servers.\n",
    "paste": "The variables of `raw_paste_global_conf` are added to the file's.\n",
    "raw_paste_global_conf": "Write `\\=` for an `=` that belongs to the name or the value.\n",
    "access_log_format": ACCESS_LOG_FORMAT,
    "accesslog": "SIGUSR1 opens it again after a rotation.\n",
    "errorlog": "SIGUSR1 opens it again after a rotation.\n",
    "logger_class": """\
A subclass of `gunicorn.glogging.Logger`, as a dotted path or a class. It may override `setup`, `access`,
`atoms` and `now`, and what logs at each level.
""",
    "logconfig": """\
Configure the loggers `gunicorn.error` and `gunicorn.access`. Files are relative to the directory that
gunicorn runs in; `%(here)s` is the directory of the ini file.
""",
    "logconfig_dict": """\
Goes before `logconfig_json`, and that before `logconfig`. Its keys replace those of
`gunicorn.glogging.CONFIG_DEFAULTS`.
""",
    "syslog_addr": """\
Without `#dgram` or `#stream`, a unix socket is tried as both.
""",
    "syslog_prefix": "Lines begin with `gunicorn.PREFIX.error:` or `gunicorn.PREFIX.access:`.\n",
    "statsd_host": STATSD,
    "enable_backlog_metric": "Sent once a second.\n",
    "ssl_context": """\
```python
def ssl_context(config, default_ssl_context_factory):
    import ssl

    context = default_ssl_context_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
```
""",
    "post_request": "`resp` is None when the request came to no response.\n",
    "pre_request": "Logs the request at level debug unless it is set.\n",
    "post_fork": """\
```python
def post_fork(server, worker):
    server.log.info("worker %s has begun", worker.pid)
```
""",
    "child_exit": """\
```python
def child_exit(server, worker):
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)
```
""",
    "limit_request_field_size": "The flag has an underscore in its name: `--limit-request-field_size`.\n",
    "cert_reqs": "The numbers of `ssl.CERT_NONE`, `ssl.CERT_OPTIONAL` and `ssl.CERT_REQUIRED`.\n",
    "control_socket_mode": "The default is `0600`: the owner and nobody else.\n",
    "header_timeout": """\
```python
header_timeout = 15  # directly on the internet, without a proxy that buffers
```

What else bounds clients: [slow and hostile clients](operations.md#slow-and-hostile-clients).
""",
    "body_min_rate": """\
Measured over some seconds. `500` suits clients on slow mobile networks.
""",
    "send_timeout": "Any byte that the client takes begins it anew.\n",
    "limit_request_body": """\
```python
limit_request_body = "20M"  # K, M, G; 413 for what is longer, before the application runs
```
""",
    "request_timeout": """\
```python
request_timeout = 30  # below the proxy's own read time-out, so that this log tells which request it was
```

The exception is `gunicorn.errors.RequestTimeout`: [requests that take too long](operations.md#requests-that-take-too-long).
""",
    "request_timeout_grace": "For requests that catch every exception, or hang in C code.\n",
    "max_queue": """\
```python
max_queue = 20       # in each worker
max_queue_time = 5   # shorter than the patience of whoever waits
```

How to choose them: [overload](operations.md#overload).
""",
    "max_queue_time": "Below the read time-out of the proxy; see `max_queue`.\n",
    "limit_concurrency": "What bounds the greenlets of gevent and eventlet, where requests do not wait for threads.\n",
    "check_client": "Costs a system call for each request. The access log has 499 for those that were skipped.\n",
    "max_rss": """\
```python
max_rss = "600M"      # without libraries and mapped files, which are shared
max_rss_hard = "1G"   # a single request that eats all there is
```

Replacements are ready first: [memory grows](operations.md#memory-grows).
""",
    "max_rss_hard": "What it was answering is lost; the log has the stacks of its threads.\n",
    "max_lifetime": """\
```python
max_lifetime = 86400  # a day
max_lifetime_jitter = 3600
```
""",
    "max_lifetime_jitter": "So that workers which began together do not end together.\n",
    "max_unavailable": "Memory has to suffice for `workers` and so many more.\n",
    "boot_timeout": "For applications that load for minutes, or are known not to.\n",
    "preload_freeze": "Figures are in [loading once for all workers](operations.md#loading-once-for-all-workers).\n",
    "warmup": """\
```python
warmup = ["/", "/search?q=warm"]  # templates, caches and connections are there before the first client
```
""",
    "status_bind": """\
```python
status_bind = "127.0.0.1:8001"
```

Answered by the master, also when every worker computes. It is for probes and monitoring: do not let the internet reach it.
[Deployment](deployment.md) has Kubernetes' probes.
""",
    "drain_delay": """\
```python
drain_delay = 10  # two periods of the balancer's probe
```

It takes the place of a hook that sleeps before the stop.
""",
}
