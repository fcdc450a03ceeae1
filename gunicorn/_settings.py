"""The table of all settings.

The command line, the configuration file, `--print-config`, `--help` and docs/settings.md all come
from here. A row says, in this order: the name, its flags on the command line, the kind of its
value, the default, and its meaning. `unit` is that of a number, `since` the version of
gunicorn that introduced the setting (nothing: before 19; OURS: gunicorn has none).
"""

import os
import sys

from gunicorn import _hooks, util
from gunicorn import _validators as check

OURS = "monoceros"  # `since`, of a setting that gunicorn does not have


class Kind:
    """How the values of a setting are read: from Python (`validator`), and from a command line."""

    __slots__ = ("validator", "type", "action", "meta", "label")

    def __init__(self, validator, label, *, type=None, action=None, meta=None):
        self.validator = validator
        self.label = label
        self.type = type
        self.action = action
        self.meta = meta


class Computed:
    """A default that depends on the machine; `variable` names the environment variable in it."""

    __slots__ = ("function", "text", "variable")

    def __init__(self, function, text, variable=None):
        self.function = function
        self.text = text
        self.variable = variable


class Row:
    """One line of the table."""

    __slots__ = (
        "name", "cli", "kind", "default", "help",
        "section", "meta", "unit", "since", "action", "const", "nargs", "type",
    )  # fmt: skip

    def __init__(
        self, name, flags, kind, default, help, *,
        meta=None, unit="", since="", action=None, const=None, nargs=None, type=None,
    ):  # fmt: skip
        self.name = name
        self.cli = flags.split() or None
        self.kind = kind
        self.default = default
        self.help = help
        self.section = None
        self.meta = meta or kind.meta
        self.unit = unit
        self.since = since
        self.action = action or kind.action
        self.const = const
        self.nargs = nargs
        self.type = type or kind.type


START_DIRECTORY = util.getcwd()  # of the process, before --chdir: a reload starts from it again


def _bind_default():
    port = os.environ.get("PORT")
    return [f"0.0.0.0:{port}" if port else "127.0.0.1:8000"]


def _workers_default():
    text = os.environ.get("WEB_CONCURRENCY")
    if not text:
        return 1
    try:
        return check.int_or_auto(text)
    except ValueError:
        raise ValueError("must be a whole number, 0 or greater, or auto") from None


def _forwarded_allow_ips_default():
    return os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")


def _get_default_control_socket():
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if not (runtime and os.path.isdir(runtime)):
        runtime = os.path.join(os.path.expanduser("~"), ".gunicorn")
    return os.path.join(runtime, "gunicorn.ctl")


def _syslog_addr_default():
    if sys.platform == "darwin":
        return "unix:///var/run/syslog"
    if sys.platform in ("freebsd", "dragonfly"):
        return "unix:///var/run/log"
    if sys.platform == "openbsd":
        return "unix:///dev/log"
    return "udp://localhost:514"


def _hook(arity):
    return Kind(check.validate_callable(arity), f"function of {arity}", type=callable)


INT = Kind(check.validate_pos_int, "int", type=int, meta="INT")
WORKERS = Kind(check.validate_workers, "int, or auto", type=check.int_or_auto, meta="INT")
SECONDS = Kind(check.validate_seconds, "number", type=check.seconds, meta="SECONDS")
SIZE = Kind(check.validate_size, "int, or text with a unit", type=check.size, meta="SIZE")
CLIENT_MEMORY = Kind(check.validate_client_memory, SIZE.label, type=check.size, meta="SIZE")
MODE = Kind(check.validate_mode, "int", type=check.auto_int, meta="INT")
FILE_MODE = Kind(check.validate_file_mode, "int", type=check.auto_int, meta="INT")
FLAG = Kind(check.validate_bool, "bool", action="store_true")
STRING = Kind(check.validate_string, "string", meta="STRING")
FILE = Kind(check.validate_string, "path", meta="FILE")
DIR = Kind(check.validate_string, "path", meta="DIR")
DIRTY_APPS = Kind(check.validate_dirty_apps, "list of strings", action="append", meta="STRING")
LIST = Kind(check.validate_list_string, "list of strings", action="append", meta="STRING")
NAMES = Kind(check.validate_string_to_list, "names, separated by commas", meta="NAMES")
PEERS = Kind(
    check.validate_string_to_addr_list, "addresses and networks, separated by commas", meta="IPS"
)
DICT = Kind(check.validate_dict, "dict")
CLASS = Kind(check.validate_class, "name, dotted path or class", meta="STRING")
HOOK1, HOOK2, HOOK3 = _hook(1), _hook(2), _hook(3)


def _choice(validator, label):
    return Kind(validator, label, meta="STRING")


SECTIONS = {
    "Config File": (
        Row("config", "-c --config", STRING, "./gunicorn.conf.py",
            "The configuration file: PATH, file:PATH or python:MODULE.", meta="CONFIG"),
        Row("wsgi_app", "", STRING, None,
            "The application, MODULE:NAME, for when the command line names none.",
            since="20.1"),
    ),
    "Server Socket": (
        Row("bind", "-b --bind", LIST,
            Computed(_bind_default, "127.0.0.1:8000; 0.0.0.0:$PORT if PORT is set", "PORT"),
            "An address to listen on: HOST, HOST:PORT, unix:PATH or fd://FD. Can be repeated.",
            meta="ADDRESS"),
        Row("backlog", "--backlog", Kind(check.validate_backlog, "int", type=int, meta="INT"), 2048,
            "How many connections may wait to be accepted.", unit="connections"),
    ),
    "Worker Processes": (
        Row("workers", "-w --workers", WORKERS,
            Computed(_workers_default, "$WEB_CONCURRENCY, else 1", "WEB_CONCURRENCY"),
            "How many worker processes handle requests; auto: one for each processor that the "
            "server may use.", unit="processes"),
        Row("worker_class", "-k --worker-class", CLASS, "sync",
            "The type of the workers: sync, gthread, gevent, eventlet, tornado, asgi, or the "
            "dotted path of a class."),
        Row("threads", "--threads", Kind(check.validate_threads, "int", type=int, meta="INT"), 1,
            "How many threads of a worker run the application. sync becomes gthread above 1.",
            unit="threads", since="19.0"),
        Row("worker_connections", "--worker-connections", INT, 1000,
            "How many connections a worker has open at a time.", unit="connections"),
        Row("max_requests", "--max-requests", INT, 0,
            "A worker is replaced after this many requests; 0 never.", unit="requests"),
        Row("max_requests_jitter", "--max-requests-jitter", INT, 0,
            "Up to so many requests are added to max_requests at random for each worker.",
            unit="requests", since="19.2"),
        Row("timeout", "-t --timeout", INT, 30,
            "A worker that has been silent for longer is killed and replaced; 0 never.",
            unit="seconds"),
        Row("graceful_timeout", "--graceful-timeout", INT, 30,
            "How long a worker that has to stop may finish its requests.", unit="seconds"),
        Row("keepalive", "--keep-alive", INT, 2,
            "How long an idle connection waits for its next request; 0 closes it at once.",
            unit="seconds"),
        Row("asgi_loop", "--asgi-loop", _choice(check.validate_asgi_loop, "auto, asyncio, uvloop"),
            "auto", "The event loop of asgi workers: auto, asyncio or uvloop.", since="24.0"),
        Row("asgi_lifespan", "--asgi-lifespan", _choice(check.validate_asgi_lifespan,
            "auto, on, off"), "auto",
            "Whether asgi workers run the lifespan protocol: auto, on or off.", since="24.0"),
        Row("asgi_disconnect_grace_period", "--asgi-disconnect-grace-period", INT, 3,
            "How long an ASGI application may clean up after its client has gone.",
            unit="seconds", since="25.0"),
        Row("websocket_max_message_size", "--websocket-max-message-size", INT, 16 * 1024 * 1024,
            "The largest WebSocket message that is accepted; 0 is no limit.",
            unit="bytes", since="26.3"),
        Row("http_parser", "--http-parser", _choice(check.validate_http_parser,
            "auto, fast, python"), "auto",
            "Accepted for compatibility: auto, fast or python. There is one parser, in C.",
            since="25.0"),
    ),
    "Security": (
        Row("limit_request_line", "--limit-request-line", INT, 4094,
            "The longest request line; 0 is no limit.", unit="bytes"),
        Row("limit_request_fields", "--limit-request-fields", INT, 100,
            "How many header fields a request may have.", unit="fields"),
        Row("limit_request_field_size", "--limit-request-field_size", INT, 8190,
            "The longest header field, name and value; 0 is no limit.", unit="bytes"),
    ),
    "Debugging": (
        Row("reload", "--reload", FLAG, False,
            "Restart the workers when the code changes. For development."),
        Row("reload_engine", "--reload-engine", _choice(check.validate_reload_engine,
            "auto, poll, inotify"), "auto",
            "How changes are noticed: auto, poll or inotify.", since="19.7"),
        Row("reload_extra_files", "--reload-extra-file", Kind(
            check.validate_list_of_files_or_patterns, "list of paths and patterns",
            action="append", meta="FILES"), [],
            "Another file, or a pattern with * ? [, to watch. Can be repeated.", since="19.8"),
        Row("spew", "--spew", FLAG, False,
            "Print each line of Python that is executed."),
        Row("check_config", "--check-config", FLAG, False,
            "Load the configuration and the application, report mistakes, and exit."),
        Row("print_config", "--print-config", FLAG, False,
            "Print the value of every setting and exit. Checks, too."),
    ),
    "Server Mechanics": (
        Row("preload_app", "--preload", FLAG, False,
            "Load the application once, before the workers are forked."),
        Row("sendfile", "--no-sendfile", FLAG, None,
            "Whether to use sendfile(); the flag turns it off. When unset, $SENDFILE decides, "
            "else it is used.",
            action="store_const", const=False, since="19.2"),
        Row("reuse_port", "--reuse-port", FLAG, False,
            "Set SO_REUSEPORT on the listening sockets.", since="19.8"),
        Row("chdir", "--chdir", Kind(check.validate_chdir, "path", meta="DIR"),
            Computed(lambda: START_DIRECTORY, "the directory it is started in"),
            "The directory to change to before the application is loaded."),
        Row("daemon", "-D --daemon", FLAG, False,
            "Detach from the terminal and go on in the background."),
        Row("raw_env", "-e --env", LIST, [],
            "A variable KEY=VALUE for the environment. Can be repeated.", meta="ENV"),
        Row("pidfile", "-p --pid", FILE, None,
            "The file that the process id of the master is written to."),
        Row("worker_tmp_dir", "--worker-tmp-dir", DIR, None,
            "Accepted for compatibility: heartbeats are in shared memory, not in files."),
        Row("user", "-u --user", Kind(check.validate_user, "name or number", meta="USER"),
            Computed(os.geteuid, "the user who starts it"),
            "The user whom the workers run as."),
        Row("group", "-g --group", Kind(check.validate_group, "name or number", meta="GROUP"),
            Computed(os.getegid, "the group that starts it"),
            "The group that the workers run as."),
        Row("umask", "-m --umask", MODE, 0,
            "The mask for the mode of files and unix sockets that are created."),
        Row("initgroups", "--initgroups", FLAG, False,
            "Give the workers all groups that their user is a member of.", since="19.7"),
        Row("tmp_upload_dir", "", DIR, None,
            "The directory for request bodies that are too long for memory."),
        Row("secure_scheme_headers", "", Kind(check.validate_scheme_headers, "dict"),
            {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"},
            "The headers, and their values, by which a trusted proxy says that its client "
            "came by https."),
        Row("forwarded_allow_ips", "--forwarded-allow-ips", PEERS,
            Computed(_forwarded_allow_ips_default, "$FORWARDED_ALLOW_IPS, else 127.0.0.1,::1",
                     "FORWARDED_ALLOW_IPS"),
            "The proxies whose scheme and forwarder headers are believed; * believes all."),
        Row("pythonpath", "--pythonpath", STRING, None,
            "Directories, separated by commas, to put in front of sys.path."),
        Row("paste", "--paste --paster", STRING, None,
            "A PasteDeploy file to load the application from, FILE or FILE#SECTION."),
        Row("proxy_protocol", "--proxy-protocol", _choice(check.validate_proxy_protocol,
            "off, v1, v2, auto"), "off",
            "Read the PROXY protocol's header of connections: off, v1, v2 or auto.",
            meta="MODE", nargs="?", const="auto"),
        Row("proxy_protocol_required", "--proxy-protocol-required", FLAG, False,
            "Refuse connections that begin without a PROXY header.", since=OURS),
        Row("proxy_allow_ips", "--proxy-allow-from", PEERS, "127.0.0.1,::1",
            "The peers that may send a PROXY header; * is all."),
        Row("protocol", "--protocol", STRING, "http",
            "The protocol of clients: http, uwsgi or fastcgi.", since="25.0"),
        Row("uwsgi_allow_ips", "--uwsgi-allow-from", PEERS, "127.0.0.1,::1",
            "The peers that may speak the uwsgi protocol; * is all.", since="25.0"),
        Row("fastcgi_allow_ips", "--fastcgi-allow-from", PEERS, "127.0.0.1,::1",
            "The peers that may speak FastCGI; * is all.", since=OURS),
        Row("raw_paste_global_conf", "--paste-global", LIST, [],
            "A variable KEY=VALUE for PasteDeploy's global configuration. Can be repeated.",
            meta="CONF", since="19.7"),
        Row("permit_obsolete_folding", "--permit-obsolete-folding", FLAG, False,
            "Accept header fields that go on in the next line. Dangerous.", since="23.0"),
        Row("strip_header_spaces", "--strip-header-spaces", FLAG, False,
            "Accept spaces between a header's name and its colon. Dangerous.", since="20.0.1"),
        Row("permit_unconventional_http_method", "--permit-unconventional-http-method", FLAG, False,
            "Accept methods in lower case, with #, or of unusual length.", since="22.0"),
        Row("permit_unconventional_http_version", "--permit-unconventional-http-version", FLAG,
            False, "Accept versions of HTTP/1 other than 1.0 and 1.1.", since="22.0"),
        Row("casefold_http_method", "--casefold-http-method", FLAG, False,
            "Change methods to upper case.", since="22.0"),
        Row("forwarder_headers", "--forwarder-headers", NAMES, "SCRIPT_NAME,PATH_INFO",
            "The headers with an underscore that a trusted proxy may set.", since="22.0"),
        Row("header_map", "--header-map", _choice(check.validate_header_map_behaviour,
            "drop, refuse, dangerous"), "drop",
            "The treatment of headers with an underscore: drop, refuse or dangerous.",
            since="22.0"),
        Row("root_path", "--root-path", STRING, "",
            "The path that an ASGI application is mounted at.", since="24.0"),
    ),
    "Logging": (
        Row("accesslog", "--access-logfile", FILE, None,
            "The file for a line about each request; - is the standard output."),
        Row("disable_redirect_access_to_syslog", "--disable-redirect-access-to-syslog", FLAG, False,
            "Keep the access log out of syslog.", since="19.8"),
        Row("access_log_format", "--access-logformat", STRING,
            '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
            "The format of a line of the access log; json writes objects."),
        Row("errorlog", "--error-logfile --log-file", FILE, "-",
            "The file for the server's own log; - is the standard error."),
        Row("loglevel", "--log-level", Kind(check.validate_text, "string"), "info",
            "Lowest level of the error log: debug, info, warning, error, critical.", meta="LEVEL"),
        Row("capture_output", "--capture-output", FLAG, False,
            "Redirect the standard output and error to the error log's file.",
            since="19.6"),
        Row("logger_class", "--logger-class", CLASS, "gunicorn.glogging.Logger",
            "The class that logs."),
        Row("logconfig", "--log-config", FILE, None,
            "A file in the ini format of Python's logging.config."),
        Row("logconfig_dict", "", DICT, {},
            "A dictionary for logging.config.dictConfig.", since="19.8"),
        Row("logconfig_json", "--log-config-json", FILE, None,
            "A file in JSON with the same content as logconfig_dict.", since="20.0"),
        Row("syslog_addr", "--log-syslog-to", STRING,
            Computed(_syslog_addr_default, "udp://localhost:514; a unix socket on macOS and BSD"),
            "Where syslog is: udp://HOST:PORT, tcp://HOST:PORT, unix://PATH#dgram or "
            "unix://PATH#stream.", meta="SYSLOG_ADDR"),
        Row("syslog", "--log-syslog", FLAG, False, "Log to syslog."),
        Row("syslog_prefix", "--log-syslog-prefix", STRING, None,
            "The program's name in syslog; else the process's name.",
            meta="SYSLOG_PREFIX"),
        Row("syslog_facility", "--log-syslog-facility", STRING, "user",
            "The syslog facility.", meta="SYSLOG_FACILITY"),
        Row("enable_stdio_inheritance", "-R --enable-stdio-inheritance", FLAG, False,
            "Keep the standard output and error that a daemon was started with."),
        Row("statsd_host", "--statsd-host", Kind(check.validate_statsd_address,
            "HOST:PORT or unix://PATH", meta="STATSD_ADDR"), None,
            "The StatsD server to send metrics to: HOST:PORT or unix://PATH.", since="19.1"),
        Row("dogstatsd_tags", "--dogstatsd-tags", STRING, "",
            "Tags for each metric, NAME:VALUE, separated by commas.",
            meta="DOGSTATSD_TAGS", since="20.0"),
        Row("statsd_prefix", "--statsd-prefix", STRING, "",
            "The beginning of the names of metrics.", meta="STATSD_PREFIX", since="19.2"),
        Row("enable_backlog_metric", "--enable-backlog-metric", FLAG, False,
            "Send how many connections wait to be accepted, as a metric. Linux only.",
            since="24.0"),
    ),
    "Process Naming": (
        Row("proc_name", "-n --name", STRING, None,
            "The name that ps and top show, in a title that takes the place of the command line. "
            "Unset, there is a title only where the package setproctitle is installed."),
        Row("default_proc_name", "", STRING, "gunicorn",
            "The name when proc_name is unset. Set by the server."),
    ),
    "SSL": (
        Row("keyfile", "--keyfile", FILE, None, "The file of the private key."),
        Row("certfile", "--certfile", FILE, None, "The file of the certificate and its chain."),
        Row("ssl_version", "--ssl-version", Kind(check.validate_ssl_version, "int"),
            check.SSL_VERSION_DEFAULT, "Ignored; use the hook ssl_context."),
        Row("cert_reqs", "--cert-reqs", Kind(check.validate_pos_int, "0, 1, 2"), 0,
            "Whether clients need a certificate: 0 no, 1 optional, 2 required."),
        Row("ca_certs", "--ca-certs", FILE, None,
            "The file of the authorities that may sign clients' certificates."),
        Row("suppress_ragged_eofs", "--suppress-ragged-eofs", FLAG, True,
            "Take a connection that ends without TLS's closing for an ordinary end."),
        Row("do_handshake_on_connect", "--do-handshake-on-connect", FLAG, False,
            "Accepted for compatibility: the handshake starts with the first bytes."),
        Row("ciphers", "--ciphers", STRING, None,
            "The ciphers to use, as a list in OpenSSL's format."),
    ),
    "HTTP/2": (
        Row("http_protocols", "--http-protocols", _choice(check.validate_http_protocols,
            "h1, h2, or both with a comma between"), "h1",
            "The versions of HTTP to offer, the preferred first: h1, h2.", since="25.0"),
        Row("http2_cleartext", "--http2-cleartext", _choice(check.validate_http2_cleartext,
            "off, prior-knowledge, upgrade, both"), "off",
            "HTTP/2 without TLS: off, prior-knowledge, upgrade or both.", since="26.2"),
        Row("http2_max_concurrent_streams", "--http2-max-concurrent-streams",
            Kind(check.validate_count, "int", type=int, meta="INT"), 100,
            "How many requests a connection may have open at a time.",
            unit="streams", since="25.0"),
        Row("http2_initial_window_size", "--http2-initial-window-size",
            Kind(check.validate_http2_window_size, "int", type=int, meta="INT"), 65535,
            "How much of a request's body may arrive before it is read, at most 2147483647.",
            unit="bytes", since="25.0"),
        Row("http2_max_frame_size", "--http2-max-frame-size",
            Kind(check.validate_http2_frame_size, "int", type=int, meta="INT"), 16384,
            "The largest frame that is accepted, 16384 to 16777215.", unit="bytes", since="25.0"),
        Row("http2_max_header_list_size", "--http2-max-header-list-size", INT, 65536,
            "The longest header list of a request, uncompressed; 0 is no limit.",
            unit="bytes", since="25.0"),
    ),
    "Control": (
        Row("control_socket", "--control-socket", STRING,
            Computed(_get_default_control_socket,
                     "$XDG_RUNTIME_DIR/gunicorn.ctl, else ~/.gunicorn/gunicorn.ctl"),
            "The unix socket that gunicornc speaks to.", meta="PATH", since="25.1"),
        Row("control_socket_mode", "--control-socket-mode", MODE, 0o600,
            "The mode of the control socket's file.", since="25.1"),
        Row("control_socket_disable", "--no-control-socket", FLAG, False,
            "Open no control socket.", since="25.1"),
    ),
    "Dirty Arbiters": (
        Row("dirty_apps", "--dirty-app", DIRTY_APPS, [],
            "A class MODULE:CLASS or MODULE:CLASS:WORKERS for the dirty workers. Can be repeated.",
            since="25.0"),
        Row("dirty_workers", "--dirty-workers", INT, 0,
            "How many dirty workers run.", unit="processes", since="25.0"),
        Row("dirty_timeout", "--dirty-timeout", INT, 300,
            "A call that takes longer fails, and its dirty worker is replaced; 0 never.",
            unit="seconds", since="25.0"),
        Row("dirty_threads", "--dirty-threads", INT, 1,
            "How many calls a dirty worker runs at a time.", unit="threads", since="25.0"),
        Row("dirty_graceful_timeout", "--dirty-graceful-timeout", INT, 30,
            "How long a dirty worker that has to stop may finish.",
            unit="seconds", since="25.0"),
        Row("dirty_max_rss", "--dirty-max-rss", SIZE, 0,
            "A dirty worker that occupies more memory is replaced after its calls; 0 never.",
            unit="bytes", since=OURS),
        Row("dirty_max_rss_hard", "--dirty-max-rss-hard", SIZE, 0,
            "A dirty worker that occupies more memory is ended at once; 0 never.",
            unit="bytes", since=OURS),
    ),
    "Server Hooks": (
        Row("on_starting", "", HOOK1, _hooks.OnStarting.on_starting,
            "In the master, before it opens its sockets. (server)"),
        Row("on_reload", "", HOOK1, _hooks.OnReload.on_reload,
            "In the master, at SIGHUP, after the configuration was read again. (server)"),
        Row("when_ready", "", HOOK1, _hooks.WhenReady.when_ready,
            "In the master, when it listens and has no workers yet. (server)"),
        Row("pre_fork", "", HOOK2, _hooks.Prefork.pre_fork,
            "In the master, before a worker is forked. (server, worker)"),
        Row("post_fork", "", HOOK2, _hooks.Postfork.post_fork,
            "In the worker, after it was forked. (server, worker)"),
        Row("post_worker_init", "", HOOK1, _hooks.PostWorkerInit.post_worker_init,
            "In the worker, when it has loaded the application. (worker)"),
        Row("worker_int", "", HOOK1, _hooks.WorkerInt.worker_int,
            "In the worker, at SIGINT or SIGQUIT. (worker)"),
        Row("worker_abort", "", HOOK1, _hooks.WorkerAbort.worker_abort,
            "In the worker, at SIGABRT, which comes when it is timed out. (worker)"),
        Row("pre_exec", "", HOOK1, _hooks.PreExec.pre_exec,
            "In the process that will be the new master, at SIGUSR2. (server)"),
        Row("pre_request", "", HOOK2, _hooks.PreRequest.pre_request,
            "In the worker, before each request. (worker, req)"),
        Row("post_request", "", Kind(check.validate_post_request, "function of 2, 3 or 4",
            type=callable), _hooks.PostRequest.post_request,
            "In the worker, after each request. (worker, req[, environ[, resp]])"),
        Row("child_exit", "", HOOK2, _hooks.ChildExit.child_exit,
            "In the master, when a worker has gone. (server, worker)", since="19.7"),
        Row("worker_exit", "", HOOK2, _hooks.WorkerExit.worker_exit,
            "In the worker, before it goes. (server, worker)"),
        Row("nworkers_changed", "", HOOK3, _hooks.NumWorkersChanged.nworkers_changed,
            "In the master, when the number of workers changes; the old one is None at first. "
            "(server, new_value, old_value)"),
        Row("on_exit", "", Kind(check.validate_callable(1), "function of 1"),
            _hooks.OnExit.on_exit, "In the master, before it goes. (server)"),
        Row("ssl_context", "", HOOK2, _hooks.NewSSLContext.ssl_context,
            "Returns the ssl.SSLContext to use. (config, default_ssl_context_factory)",
            since="21.0"),
    ),
    "Dirty Arbiter Hooks": (
        Row("on_dirty_starting", "", HOOK1, _hooks.OnDirtyStarting.on_dirty_starting,
            "In the dirty arbiter, before it starts. (arbiter)", since="25.0"),
        Row("dirty_post_fork", "", HOOK2, _hooks.DirtyPostFork.dirty_post_fork,
            "In the dirty arbiter, after it has forked a worker. (arbiter, worker)", since="25.0"),
        Row("dirty_worker_init", "", HOOK1, _hooks.DirtyWorkerInit.dirty_worker_init,
            "In a dirty worker, when it has loaded its applications. (worker)", since="25.0"),
        Row("dirty_worker_exit", "", HOOK2, _hooks.DirtyWorkerExit.dirty_worker_exit,
            "In the dirty arbiter, after a worker has ended. (arbiter, worker)", since="25.0"),
    ),
    "Clients and Requests": (
        Row("header_timeout", "--header-timeout", SECONDS, 60,
            "A client whose request line and headers are not complete after this is "
            "disconnected; 0 never.", unit="seconds", since=OURS),
        Row("body_min_rate", "--body-min-rate", INT, 0,
            "A client that sends its request's body more slowly is disconnected; 0 never.",
            unit="bytes a second", since=OURS),
        Row("send_timeout", "--send-timeout", SECONDS, 60,
            "A client that takes less than 1 KiB of its answer in so long is disconnected; 0 "
            "never.",
            unit="seconds", since=OURS),
        Row("websocket_ping_interval", "--websocket-ping-interval", SECONDS, 0,
            "How often a ping is sent on each WebSocket of an ASGI application, also while the "
            "application blocks its event loop; 0 never.", unit="seconds", since=OURS),
        Row("websocket_ping_timeout", "--websocket-ping-timeout", SECONDS, 20,
            "A WebSocket whose client sends no byte for so long after a ping is closed with 1011; "
            "0 never.", unit="seconds", since=OURS),
        Row("stream_window", "--stream-window", SIZE, 4 << 20,
            "How much of a streamed answer (an iterator, write()) may wait for its client before "
            "the application waits, too; 0 is no limit.", unit="bytes", since=OURS),
        Row("client_memory", "--client-memory", CLIENT_MEMORY, 256 << 20,
            "The memory that a worker's clients may occupy together: heads, bodies, answers, TLS. "
            "Beyond it files are used, then the hungriest wait; 0 is no limit.",
            unit="bytes", since=OURS),
        Row("client_disk", "--client-disk", SIZE, 0,
            "The bytes in files of tmp_upload_dir that a worker's clients may occupy together; 0 "
            "is the room of the disk, less a twentieth of it (at most 1 GiB). One client may "
            "have half.", unit="bytes", since=OURS),
        Row("limit_request_body", "--limit-request-body", SIZE, 0,
            "The longest body of a request; 0 is no limit.", unit="bytes", since=OURS),
        Row("stream_request_body", "--stream-request-body", SIZE, 0,
            "A request whose body is longer is given to the application before its body is whole, "
            "which it reads while it comes: slow clients hold its threads then. 0: never.",
            unit="bytes", since=OURS),
        Row("request_timeout", "--request-timeout", SECONDS, 0,
            "A request that takes longer is ended by gunicorn.errors.RequestTimeout and answered "
            "with 504; 0 never. environ['gunicorn.deadline'] has the time that is left.",
            unit="seconds", since=OURS),
        Row("request_timeout_grace", "--request-timeout-grace", SECONDS, 5,
            "A worker whose request goes on for so long after request_timeout is replaced, its "
            "successor being ready first.",
            unit="seconds", since=OURS),
        Row("asgi_forwarded_client", "--asgi-forwarded-client", FLAG, False,
            "Take the client of an ASGI scope from the X-Forwarded-For of the proxies of "
            "forwarded_allow_ips.", since=OURS),
        Row("loop_block_warning", "--loop-block-warning", SECONDS, 1,
            "After an event loop of an asgi worker has been blocked for so long, the task that "
            "blocks it is logged with its stack; 0 never.", unit="seconds", since=OURS),
        Row("max_queue", "--max-queue", INT, 0,
            "How many requests may wait in a worker; further ones are answered with 503. "
            "0 is no limit.", unit="requests", since=OURS),
        Row("max_queue_time", "--max-queue-time", SECONDS, 0,
            "A request that has waited for longer is answered with 503; 0 never.",
            unit="seconds", since=OURS),
        Row("limit_concurrency", "--limit-concurrency", INT, 0,
            "How many requests may run or wait in a worker; further ones are answered with 503. "
            "0 is no limit.", unit="requests", since=OURS),
        Row("check_client", "--check-client", FLAG, False,
            "Skip a request that has waited if its client has gone meanwhile.", since=OURS),
    ),
    "Scaling": (
        Row("workers_max", "--workers-max", Kind(check.validate_workers_max, "int", type=int,
            meta="INT"), 0,
            "How many workers there may be when requests wait; 0: always as many as `workers`.",
            unit="processes", since=OURS),
        Row("scale_up_wait", "--scale-up-wait", SECONDS, 0.1,
            "With workers_max: a worker is added if requests wait for longer.",
            unit="seconds", since=OURS),
        Row("scale_down_idle", "--scale-down-idle", SECONDS, 30,
            "With workers_max: a worker that was not needed for so long is stopped.",
            unit="seconds", since=OURS),
    ),
    "Recycling and Preloading": (
        Row("max_rss", "--max-rss", SIZE, 0,
            "A worker that occupies more memory is replaced when its requests are done; 0 never.",
            unit="bytes", since=OURS),
        Row("max_rss_hard", "--max-rss-hard", SIZE, 0,
            "A worker that occupies more memory is replaced at once; 0 never.",
            unit="bytes", since=OURS),
        Row("max_lifetime", "--max-lifetime", SECONDS, 0,
            "A worker is replaced after this; 0 never.", unit="seconds", since=OURS),
        Row("max_lifetime_jitter", "--max-lifetime-jitter", SECONDS, 0,
            "Up to so much is added to max_lifetime at random for each worker.",
            unit="seconds", since=OURS),
        Row("max_unavailable", "--max-unavailable", Kind(check.validate_count, "int", type=int,
            meta="INT"), 1,
            "How many workers may be in replacement by recycling at a time.",
            unit="processes", since=OURS),
        Row("boot_timeout", "--boot-timeout", SECONDS, 0,
            "A worker that has not loaded its application after this is killed; "
            "0: ten times timeout.", unit="seconds", since=OURS),
        Row("preload_freeze", "--preload-freeze", FLAG, False,
            "With preload_app: keep the garbage collector from touching (and so copying) "
            "the memory that workers share.", since=OURS),
        Row("warmup", "--warmup", Kind(check.validate_warmup, "list of paths and URLs",
            action="append", meta="PATH"), [],
            "A path, or a URL whose host the application is to see, that a worker requests of "
            "itself before it serves. Can be repeated.", since=OURS),
    ),
    "Status": (
        Row("status_bind", "--status-bind", Kind(check.validate_status_address,
            "HOST:PORT or unix:PATH", meta="ADDRESS"), None,
            "The address, HOST:PORT or unix:PATH, at which the master answers /live, /ready, "
            "/metrics and /workers.", since=OURS),
        Row("status_mode", "--status-mode", FILE_MODE, 0o600,
            "The mode of the status port's file, when status_bind is unix:PATH.",
            unit="mode bits", since=OURS),
        Row("drain_delay", "--drain-delay", SECONDS, 0,
            "After TERM, /ready fails for so long before the workers stop.",
            unit="seconds", since=OURS),
    ),
}  # fmt: skip

for _section, _rows in SECTIONS.items():
    for _row in _rows:
        _row.section = _section

ROWS = tuple(row for rows in SECTIONS.values() for row in rows)
