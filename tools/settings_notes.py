"""The text of docs/settings.md about a setting beyond its line in the table: Markdown by name."""

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
A name that only looks like a setting's is warned of. `gunicorn --check-config app:app` reports mistakes in a
configuration, `gunicorn --print-config app:app` prints the result. Long flags can be
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

A missing value is a `-`. Quotes, backslashes and control characters are escaped: `\\"`, `\\\\`, `\\x1b`.

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

#: Of whole sections.
SECTION_NOTES = {
    "HTTP/2": """\
See [HTTP/2](http2.md), also for when it is of use.
""",
    "Control": """\
The socket at which [gunicornc](operations.md#the-control-socket-gunicornc) asks the master.
""",
    "Dirty Arbiters": """\
Processes beside the web workers, for jobs that are long or need much memory: [dirty workers](dirty.md). They run if both
`dirty_apps` and `dirty_workers` are set.
""",
    "Dirty Arbiter Hooks": """\
See [dirty workers](dirty.md#hooks).
""",
}

NOTES = {
    "asgi_loop": "For asgi workers. `auto` is uvloop if it is installed.\n",
    "asgi_lifespan": """\
For asgi workers. With `auto` an application that raises or returns at `lifespan.startup` is served without
it; with `on` that ends the start. A startup that answers `lifespan.startup.failed` ends the start in both, with
exit code 3. `boot_timeout` bounds the startup. The shutdown runs at each end of a worker, within the rest
of `graceful_timeout` and 30 s.
""",
    "asgi_disconnect_grace_period": """\
For asgi workers, in seconds. An application receives `http.disconnect` at once; if its request still runs after
this time, its task is cancelled, unless its answer is complete. The task of a WebSocket is cancelled if it has not
received `websocket.disconnect` by then, and takes no message any more.
""",
    "websocket_max_message_size": """\
For asgi workers. A larger message closes its WebSocket with the code 1009, at the frame that announces it. The
limit is that of the message when it is decompressed.
""",
    "root_path": 'For asgi workers: `scope["root_path"]`. It is not put before `path`.\n',
    "protocol": """\
`uwsgi` is that of nginx's `uwsgi_pass`, with one request on a connection; `fastcgi` is that of `fastcgi_pass` and
Apache's `mod_proxy_fcgi`, with as many as the proxy likes. Both are for all addresses of `bind`:
[deployment](deployment.md#uwsgi-and-fastcgi). The worker classes of other packages speak HTTP all the same.

```python
protocol = "fastcgi"
fastcgi_allow_ips = "10.0.0.0/24"  # nginx's network
```
""",
    "uwsgi_allow_ips": """\
Addresses and networks. A packet from another peer is answered 403. The peers of unix sockets are allowed.
""",
    "proxy_protocol_required": """\
A connection that begins otherwise is answered 400 and closed, so that no client gets past the balancer. Without it such
connections are served, as in gunicorn, and the peer of the socket is the client.

```python
proxy_protocol = "v2"
proxy_protocol_required = True
```
""",
    "fastcgi_allow_ips": """\
Addresses and networks. Another peer is answered 403. The peers of unix sockets are allowed.

```python
fastcgi_allow_ips = "10.0.0.0/24, 2001:db8::/64"  # the proxies
```
""",
    "proxy_allow_ips": """\
A PROXY header from another peer is answered 403; without a header such a peer is served. The peers of
unix sockets are allowed.

```python
proxy_allow_ips = "10.0.0.0/8, 2001:db8::/32"  # the load balancer's networks
```
""",
    "bind": """\
Without a port it is 8000. A unix socket gets the mode that `umask` leaves and belongs to `user` and
`group`. `fd://3` is a socket that was opened by somebody else, and that descriptor's number.

```console
$ gunicorn -b 127.0.0.1:8000 -b '[::1]:8000' -b unix:/run/shop.sock shop:app
```
""",
    "backlog": "The kernel may have a lower limit of its own (`net.core.somaxconn`).\n",
    "workers": """\
As many as there are cores is where to begin: [choosing a worker](workers.md#how-many). SIGTTIN adds a
worker and SIGTTOU removes one while the server runs. At most 2048.

```python
workers = "auto"
```

is one worker for each processor that the server may use: those of its affinity, but no more than the quota
of its control groups (versions 1 and 2), rounded up. So it fits a container, where the machine's
processors are too many. The log names the number and its reason; a reload counts anew. `WEB_CONCURRENCY`
may be `auto`, too.
""",
    "threads": """\
```python
threads = 8  # for an application that waits; one that only computes gains nothing
```

At most 4096.
""",
    "worker_connections": """\
When they are used up, the connection that has been idle or without progress for longest is closed to make
room; a request that runs, or whose client keeps pace, never is. In gevent and eventlet also the number of requests at a time.
""",
    "worker_class": """\
| name | |
|---|---|
| `sync` | one request at a time |
| `gthread` | `threads` requests at a time |
| `gevent` | a greenlet for each request; needs the package gevent |
| `eventlet` | a green thread for each request; needs the package eventlet |
| `tornado` | for applications of Tornado's own kind; needs the package tornado |
| `asgi` | ASGI applications over HTTP and WebSocket, a task for each request |

Also the dotted path of a subclass of `gunicorn.workers.base.Worker`, a class, or the name of an entry
point of the group `gunicorn.workers`, as `name` or `egg:DISTRIBUTION#name`.
""",
    "timeout": """\
A `sync` or `tornado` worker is silent from the start of a request to its end. In the other classes a
request may take as long as it likes; there a worker is silent that gives no sign at all, because C code
holds the interpreter or the event loop is blocked. One that waits for requests is never silent. The log
says which request it was and has the stacks.

```python
timeout = 60          # above the slowest request that is legitimate
request_timeout = 50  # ends the request, not the worker
```

See [workers time out](operations.md#workers-time-out).
""",
    "max_requests": """\
For applications that leak memory; [`max_rss`](#max_rss) is more to the point. The successor is ready
first, and the old worker finishes the requests that it has begun.

```python
max_requests = 10000
max_requests_jitter = 1000
```
""",
    "graceful_timeout": """\
A worker cuts off the remaining requests a fifth of it, at most 3 s, before the end: [how a worker
stops](operations.md#how-a-worker-stops). Workers that are still there when it has passed are killed. The program that stops the server (systemd's
`TimeoutStopSec`, Kubernetes' `terminationGracePeriodSeconds`) has to wait for longer.
""",
    "keepalive": """\
Raise it above the idle time of a load balancer in front, so that the server does not close first:
[502 behind the balancer](operations.md#502-behind-the-balancer). Every worker class keeps connections.

```python
keepalive = 75  # nginx and AWS's ALB keep idle connections for 60 s
```
""",
    "reload": """\
A file that cannot be imported is shown to every client as a page with the traceback, until it is
saved again. With `preload_app` the code that the master has loaded stays as it is.
""",
    "reload_extra_files": """\
Patterns are expanded at each look, so that files which are created later are watched too; `**` goes
through directories.

```python
reload_extra_files = ["settings.yaml", "templates/**/*.html"]
```
""",
    "preload_app": """\
Saves memory, for the workers share the loaded application, and workers start faster:
[loading once for all workers](operations.md#loading-once-for-all-workers). Connections and threads that
are opened while it loads belong to the master; open them in `post_fork`. SIGHUP imports the application
anew, save packages with extension modules.
""",
    "sendfile": """\
`wsgi.file_wrapper` uses it for files; over TLS where the kernel encrypts (kTLS). ASGI applications send files by the extensions
`http.response.pathsend` and `zerocopysend`, as Starlette's `FileResponse` and `StaticFiles` do; without sendfile they are not offered, and
files pass through middleware as bytes. Starlette's `GZipMiddleware` compresses only those, and sends others as they are. A middleware that
does not know `http.response.pathsend`, as that of brotli-asgi, drops the file, and the client gets 500. In the configuration file:

```python
sendfile = False  # a middleware that drops files, a file system on which it is broken
```
""",
    "raw_env": """\
```python
raw_env = ["DJANGO_SETTINGS_MODULE=shop.settings", "TZ=UTC"]
```
""",
    "tmp_upload_dir": """\
A body beyond 1 MiB, and an answer of which more than 2 MiB wait for a slow client, go into unlinked files
there; without it in `$TMPDIR`, else `/tmp`.
""",
    "reuse_port": """\
Each worker has a queue of connections of its own then. Not needed for several workers; two servers can
listen at the same address.
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
For load balancers that pass TCP on and name the client by [HAProxy's PROXY protocol](https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt),
version 1 (a line) or 2 (binary); see [deployment](deployment.md#the-proxy-protocol). The header is read once a connection, before TLS and
within `header_timeout`, and holds for all requests of the connection:

| variable | value |
|---|---|
| `REMOTE_ADDR`, `REMOTE_PORT` | the client, also in the access log |
| `PROXY_PROTOCOL` | `TCP4`, `TCP6`, `UDP4`, `UDP6` (QUIC), `UNIX` |
| `PROXY_ADDR`, `PROXY_PORT` | the address at which the client has reached the balancer |
| `PROXY_AUTHORITY`, `PROXY_UNIQUE_ID` | if they were sent: the name that the client asked for (SNI), and the balancer's id of the connection |
| `PROXY_SSL_PROTOCOL`, `PROXY_SSL_CIPHER`, `PROXY_SSL_CLIENT_S_DN_CN`, `PROXY_SSL_CLIENT_VERIFY` | if the client uses TLS to the balancer; `wsgi.url_scheme` is `https` then. `SUCCESS`, `FAILED` or `NONE` is about its certificate |

A connection without a header, or whose header names no client (`UNKNOWN`, `LOCAL`, `UNSPEC`: health checks), is that of its peer. A malformed
header is answered 400, and the reason is logged. `forwarded_allow_ips` is about the balancer's address.

The flag without a value means `auto`.
""",
    "header_map": """\
`X_Forwarded_For` and `X-Forwarded-For` have the same name in the WSGI environ. `drop` leaves out the
first, `refuse` answers 400, `dangerous` mixes both.
""",
    "forwarder_headers": """\
From a peer in `forwarded_allow_ips`, these headers come through with every `header_map`. The proxy has to remove them from
requests of clients.
""",
    "strip_header_spaces": "Such requests are understood differently by different servers.\n",
    "paste": "The variables of `raw_paste_global_conf` are added to the file's.\n",
    "raw_paste_global_conf": "Write `\\=` for an `=` that belongs to the name or the value.\n",
    "access_log_format": ACCESS_LOG_FORMAT,
    "accesslog": "SIGUSR1 opens it again after a rotation.\n",
    "errorlog": "SIGUSR1 opens it again after a rotation.\n",
    "logger_class": """\
A subclass of `gunicorn.glogging.Logger`, as a dotted path or a class. It may override `setup`, `access`,
`atoms` and `now`, and the methods that log at each level.
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
    "pre_request": """\
Logs the request at level debug unless it is set. The application sees the changes that the hook makes to `req`:

```python
def pre_request(worker, req):
    req.headers = [(name, value) for name, value in req.headers if name != "X-USER"]
```
""",
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
    "control_socket": """\
Each master has a socket of its own. If another server that runs has this path, or the first master of an upgrade, the master takes
PATH.2, or the next number that is free; the log names it. The socket that a dead server has left is replaced, any other file stays. In a
place that cannot be written, as in a read-only container, the server runs without a control socket and logs a line. A reload
follows a new path once the new configuration is proven; sessions that are open go on.
""",
    "control_socket_mode": """\
The default is `0600`. With bits for the group or for others these users can give commands too; without, the credentials of each
client are checked as well: only the master's user and root are answered.
""",
    "header_timeout": """\
```python
header_timeout = 15  # directly on the internet, without a proxy that buffers
```

More bounds for clients: [slow and hostile clients](operations.md#slow-and-hostile-clients).
""",
    "body_min_rate": """\
```python
body_min_rate = 500  # a slow mobile uplink has some thousand
```

Measured over five seconds. Without it a body may drip, as long as there is a byte each minute. The lines that frame chunks and the FastCGI
records of other requests are not counted.
""",
    "send_timeout": """\
```python
send_timeout = 30  # directly on the internet
```

Any byte that the client takes begins it anew.
""",
    "websocket_ping_interval": """\
For asgi workers.

```python
websocket_ping_interval = 30  # below the time after which a proxy closes a silent connection
```

The engine sends the pings and reads their answers by itself, so a handler that computes for long loses no
client.
""",
    "websocket_ping_timeout": """\
For asgi workers.

```python
websocket_ping_timeout = 10  # notice sooner that a client has gone without a word
```

It counts only with [websocket_ping_interval](#websocket_ping_interval). Bytes that have arrived count, even if
they wait to be read.
""",
    "stream_window": """\
```python
stream_window = "64M"  # 0: the application never waits, and the rest of each answer is on the disk
```

An answer that is there as a whole (bytes, a list, a file) is taken at once in any case. A thread that waits
for a client occupies as much as in gunicorn.
""",
    "client_memory": """\
```python
client_memory = "1G"  # K, M, G, T; for each worker, 4M at least
```

The order in which clients wait when it is used up: [limits](operations.md#limits-on-memory-disk-and-descriptors-of-clients).
""",
    "client_disk": """\
```python
client_disk = "20G"  # for each worker; the file system of tmp_upload_dir has to have workers times as much
```
""",
    "limit_request_body": """\
```python
limit_request_body = "20M"  # K, M, G, T
```

A longer body is answered with 413 before the application runs. Without it the bound is the room of `tmp_upload_dir`, a twentieth of
which is left free, and 64 GiB.
""",
    "stream_request_body": """\
```python
stream_request_body = "64M"  # bodies beyond it are read by the application while they come
```

For applications that pass large bodies on, or cannot have them on the disk. A thread is held for as long as the client sends; one that
sends less than `body_min_rate`, or 500 bytes a second without it, over five seconds of waiting, is disconnected.
[Uploads](operations.md#uploads).
""",
    "request_timeout": """\
```python
request_timeout = 30  # below the proxy's own read time-out, so that this log names the request
```

The exception is `gunicorn.errors.RequestTimeout`: [requests that take too long](operations.md#requests-that-take-too-long).
""",
    "request_timeout_grace": """\
```python
request_timeout = 20
request_timeout_grace = 5  # together below timeout
```

For requests that catch every exception, or hang in C code.
""",
    "asgi_forwarded_client": """\
For asgi workers, as uvicorn's `--proxy-headers`.

```python
asgi_forwarded_client = True
forwarded_allow_ips = "10.0.0.0/8"  # the proxies
```

`scope["client"]` is then the last address of `X-Forwarded-For` that is not of `forwarded_allow_ips`, with the port 0.
If all of them are trusted it is the first, which `forwarded_allow_ips = "*"` lets every client choose. Without the
field, from another peer, or with a name in place of the address, it is the peer. The access log's `%(h)s` is the peer
in any case.
""",
    "loop_block_warning": """\
```python
loop_block_warning = 0.2  # during development
```

While a task blocks the loop (`time.sleep()`, a driver of a database that waits, much computing), the engine still accepts, reads,
sends and enforces time-outs, other workers take the requests that wait, and only the requests of this worker stand still. The line has
the stack of the task. Requests have to run meanwhile: an idle worker is not watched.
""",
    "max_queue": """\
```python
max_queue = 20       # in each worker
max_queue_time = 5   # shorter than the patience of clients
```

How to choose them: [overload](operations.md#overload).
""",
    "max_queue_time": """\
```python
max_queue_time = 5  # below the read time-out of the proxy
```

Counted from the moment at which the request is whole. See `max_queue`.
""",
    "limit_concurrency": """\
```python
worker_class = "gevent"
limit_concurrency = 200  # in each worker
```

With gevent and eventlet, where requests do not wait for threads, this is the bound for greenlets.
""",
    "check_client": """\
```python
check_client = True  # users who press "reload" while the page is slow
```

Costs a system call for each request. The access log has 499 for those that were skipped.
""",
    "max_rss": """\
```python
max_rss = "600M"      # without libraries and mapped files, which are shared
max_rss_hard = "1G"   # a single request that eats all there is
```

Replacements are ready first: [memory grows](operations.md#memory-grows).
""",
    "max_rss_hard": """\
```python
max_rss_hard = "1G"  # above max_rss, below the memory of machine or container for each worker
```

Its running requests are lost; the log has the stacks of its threads.
""",
    "dirty_max_rss": """\
```python
dirty_max_rss = "4G"       # without libraries and mapped files, which are shared
dirty_max_rss_hard = "6G"  # a single call that eats all there is
```

The next worker is started at once and takes the calls that wait. While calls run, memory is looked at once a second.
""",
    "dirty_max_rss_hard": """\
```python
dirty_max_rss_hard = "6G"  # above dirty_max_rss
```

The callers of its calls get `DirtyWorkerError` with the reason; the log has the stacks of its threads.
""",
    "max_lifetime": """\
```python
max_lifetime = 86400  # a day
max_lifetime_jitter = 3600
```
""",
    "max_lifetime_jitter": """\
```python
max_lifetime_jitter = 3600  # so that workers which began together do not end together
```
""",
    "workers_max": """\
```python
workers = 2
workers_max = 16
```

See [workers that fit the load](operations.md#workers-that-fit-the-load). At most 2048; no more than `workers` is off.
""",
    "scale_up_wait": """\
```python
scale_up_wait = 0.5  # short queues are no reason for a worker more
```

The waiting time is the number of requests that wait, divided by those that begin in a second; if none begins, the
time since they wait.
""",
    "scale_down_idle": """\
```python
scale_down_idle = 600  # starting a worker costs more than keeping it for ten minutes
```

It is doubled, up to 16 times, if a worker was stopped and another one added again within twice this time.
""",
    "max_unavailable": """\
```python
max_unavailable = 2  # of sixteen workers
```

By `max_requests`, `max_lifetime` and `max_rss`; the others wait for their turn and serve on. Memory has to
suffice for `workers` and so many more.
""",
    "boot_timeout": """\
```python
boot_timeout = 120  # importing takes ten seconds here; a database that hangs, for ever
```
""",
    "preload_freeze": """\
```python
preload_app = True
preload_freeze = True
```

Figures are in [loading once for all workers](operations.md#loading-once-for-all-workers).
""",
    "warmup": """\
```python
warmup = ["/", "/search?q=warm"]  # templates, caches and connections are there before the first client
```

The requests, and their failures: [the first request](operations.md#the-first-request).
""",
    "status_bind": """\
```python
status_bind = "127.0.0.1:8001"
```

Answered by the master, also when every worker computes. For probes and monitoring, without a password: do not let
the internet reach it. [Health, figures and stacks](operations.md#health-figures-and-stacks-the-status-port) has
all of it, Kubernetes' probes included.
""",
    "status_mode": """\
```python
status_bind = "unix:/run/shop/status.sock"
status_mode = 0o660  # and `group`: that of the monitoring
```

The default is `0600`, and the most `0777`: `/workers/SLOT/stack` shows the application's stacks. The file belongs to `user` and `group`, as that of
`bind`; `umask` does not count. It holds from the moment at which the socket is bound: a reload with the same `status_bind` leaves
the file's mode as it is.
""",
    "drain_delay": """\
```python
drain_delay = 10  # two periods of the balancer's probe
```

It takes the place of a hook that sleeps before the stop: [deploys lose requests](operations.md#deploys-lose-requests).
""",
}
