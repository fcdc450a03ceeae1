"""Each public name of gunicorn 27.0.1, module by module, and what became of it here.

A name belongs to the module that defines it. The names that a module imports (`gunicorn.util.os`)
are not part of it, but for those that others are known to import or replace there: IMPORTED.
"""

#: Modules that are not here, with all below them, and why.
ABSENT_MODULES = {
    "gunicorn.asgi": "it reads requests in Python; the engine does so",
    "gunicorn.dirty.pidfile": "a dirty arbiter ends with its master, so none is left to be found",
    "gunicorn.ctl.handlers": "the commands are the master's: gunicorn.master.commands",
    "gunicorn.ctl.server": "the server of the control socket is C, in the master's loop",
    "gunicorn.http2": "the engine speaks HTTP/2, in C",
    "gunicorn.workers.base_async": "it reads requests in Python; the engine does so",
}

PRESENT = {
    "gunicorn": "SERVER SERVER_SOFTWARE version_info",
    "gunicorn.__main__": "",
    "gunicorn.app": "",
    "gunicorn.app.base": "Application BaseApplication",
    "gunicorn.app.pasterapp": "get_wsgi_app has_logging_config serve",
    "gunicorn.app.wsgiapp": "WSGIApplication run",
    "gunicorn.arbiter": "Arbiter SERVER_SOFTWARE",
    "gunicorn.config": """
        ALPN_PROTOCOL_MAP ASGIDisconnectGracePeriod ASGILifespan ASGILoop AccessLog
        AccessLogFormat Backlog BacklogMetric Bind CACerts CaptureOutput CasefoldHTTPMethod
        CertFile CertReqs Chdir ChildExit Ciphers Config ConfigCheck ConfigFile
        ControlSocket ControlSocketDisable ControlSocketMode Daemon DefaultProcName
        DirtyApps DirtyGracefulTimeout DirtyPostFork DirtyThreads DirtyTimeout
        DirtyWorkerExit DirtyWorkerInit DirtyWorkers DisableRedirectAccessToSyslog
        DoHandshakeOnConnect DogstatsdTags EnableStdioInheritance Env ErrorLog
        ForwardedAllowIPS ForwarderHeaders GracefulTimeout Group HTTP2Cleartext
        HTTP2InitialWindowSize HTTP2MaxConcurrentStreams HTTP2MaxFrameSize
        HTTP2MaxHeaderListSize HTTPProtocols HeaderMap HttpParser Initgroups KNOWN_SETTINGS
        Keepalive KeyFile LimitRequestFieldSize LimitRequestFields LimitRequestLine
        LogConfig LogConfigDict LogConfigJson LoggerClass Loglevel MaxRequests
        MaxRequestsJitter NewSSLContext NumWorkersChanged OnDirtyStarting OnExit OnReload
        OnStarting PLATFORM Paste PasteGlobalConf PermitObsoleteFolding
        PermitUnconventionalHTTPMethod PermitUnconventionalHTTPVersion Pidfile PostRequest
        PostWorkerInit Postfork PreExec PreRequest Prefork PreloadApp PrintConfig Procname
        Protocol ProxyAllowFrom ProxyProtocol PythonPath Reload ReloadEngine
        ReloadExtraFiles ReusePort RootPath SSLVersion SecureSchemeHeader Sendfile Setting
        Spew StatsdHost StatsdPrefix StripHeaderSpaces SuppressRaggedEOFs Syslog
        SyslogFacility SyslogPrefix SyslogTo Timeout TmpUploadDir UWSGIAllowFrom Umask User
        VALID_HTTP_PROTOCOLS WSGIApp WebSocketMaxMessageSize WhenReady WorkerAbort
        WorkerClass WorkerConnections WorkerExit WorkerInt WorkerThreads WorkerTmpDir
        Workers auto_int get_default_config_file make_settings validate_asgi_lifespan
        validate_asgi_loop validate_bool validate_callable validate_chdir validate_class
        validate_dict validate_file_exists validate_group validate_header_map_behaviour
        validate_http2_cleartext validate_http2_frame_size validate_http2_window_size
        validate_http_parser validate_http_protocols validate_list_of_files_or_patterns
        validate_list_string validate_pos_int validate_post_request validate_proxy_protocol
        validate_reload_engine validate_ssl_version validate_statsd_address validate_string
        validate_string_to_addr_list validate_string_to_list validate_user
    """,
    "gunicorn.ctl": "",
    "gunicorn.ctl.cli": "main",
    "gunicorn.ctl.client": "ControlClient ControlClientError parse_command",
    "gunicorn.ctl.protocol": """
        ControlProtocol ProtocolError make_error_response make_request make_response
    """,
    "gunicorn.debug": "Spew spew unspew",
    "gunicorn.errors": "AppImportError ConfigError HaltServer",
    "gunicorn.glogging": """
        CONFIG_DEFAULTS Logger SYSLOG_FACILITIES SafeAtoms loggers parse_syslog_address
    """,
    "gunicorn.dirty": "",
    "gunicorn.dirty.app": """
        DirtyApp get_app_workers_attribute load_dirty_app load_dirty_apps parse_dirty_app_spec
    """,
    "gunicorn.dirty.arbiter": "DirtyArbiter",
    "gunicorn.dirty.client": """
        DirtyAsyncStreamIterator DirtyClient DirtyStreamIterator close_dirty_client
        close_dirty_client_async get_dirty_client get_dirty_client_async get_dirty_socket_path
        set_dirty_socket_path
    """,
    "gunicorn.dirty.errors": """
        DirtyAppError DirtyAppNotFoundError DirtyConnectionError DirtyError
        DirtyNoWorkersAvailableError DirtyProtocolError DirtyTimeoutError DirtyWorkerError
    """,
    "gunicorn.dirty.protocol": """
        BinaryProtocol DirtyProtocol HEADER_FORMAT HEADER_SIZE MAGIC MAX_MESSAGE_SIZE
        MSG_TYPE_CHUNK MSG_TYPE_END MSG_TYPE_ERROR MSG_TYPE_FROM_STR MSG_TYPE_REQUEST
        MSG_TYPE_RESPONSE MSG_TYPE_STASH MSG_TYPE_STATUS MSG_TYPE_TO_STR STASH_OP_CLEAR
        STASH_OP_DELETE STASH_OP_DELETE_TABLE STASH_OP_ENSURE STASH_OP_EXISTS STASH_OP_GET
        STASH_OP_INFO STASH_OP_KEYS STASH_OP_PUT STASH_OP_TABLES VERSION make_chunk_message
        make_end_message make_error_response make_request make_response make_stash_message
    """,
    "gunicorn.dirty.stash": """
        StashClient StashError StashKeyNotFoundError StashTable StashTableNotFoundError clear
        delete delete_table ensure exists get get_stash_socket_path info keys put
        set_stash_socket_path table tables
    """,
    "gunicorn.dirty.tlv": """
        MAX_BYTES_SIZE MAX_DICT_SIZE MAX_LIST_SIZE MAX_STRING_SIZE TLVEncoder TYPE_BOOL
        TYPE_BYTES TYPE_DICT TYPE_FLOAT64 TYPE_INT64 TYPE_LIST TYPE_NONE TYPE_STRING
    """,
    "gunicorn.dirty.worker": "DirtyWorker",
    "gunicorn.http": "get_parser",
    "gunicorn.http.body": "Body ChunkedReader EOFReader LengthReader",
    "gunicorn.http.errors": """
        ChunkMissingTerminator ConfigurationProblem ExpectationFailed ForbiddenProxyRequest
        InvalidChunkExtension InvalidChunkSize InvalidH2CPreface InvalidHTTPVersion
        InvalidHeader InvalidHeaderName InvalidProxyHeader InvalidProxyLine
        InvalidRequestLine InvalidRequestMethod InvalidResponseHeader
        InvalidResponseHeaderName InvalidSchemeHeaders LimitRequestHeaders LimitRequestLine
        NoMoreData ObsoleteFolding ParseException UnsupportedTransferCoding
    """,
    "gunicorn.http.message": "Message Request",
    "gunicorn.http.parser": "Parser RequestParser",
    "gunicorn.http.unreader": "IterUnreader SocketUnreader Unreader",
    "gunicorn.http.wsgi": """
        FileWrapper Response SERVER SERVER_SOFTWARE WSGIErrorsWrapper base_environ create
        default_environ
    """,
    "gunicorn.instrument": "",
    "gunicorn.instrument.statsd": """
        COUNTER_TYPE GAUGE_TYPE HISTOGRAM_TYPE METRIC_VAR MTYPE_VAR Statsd TIMER_TYPE
        VALUE_VAR
    """,
    "gunicorn.pidfile": "Pidfile",
    "gunicorn.reloader": """
        InotifyReloader Reloader ReloaderBase has_inotify preferred_reloader
        reloader_engines
    """,
    "gunicorn.sock": """
        BaseSocket TCP6Socket TCPSocket UnixSocket close_sockets create_sockets ssl_context
        ssl_wrap_socket
    """,
    "gunicorn.systemd": "SD_LISTEN_FDS_START listen_fds sd_notify",
    "gunicorn.util": """
        REDIRECT_TO bytes_to_str check_is_writable chown close close_graceful close_on_exec
        daemonize get_arity get_username getcwd has_fileno hop_headers http_date import_app
        is_glob_pattern is_hoppish is_ipv6 load_class load_entry_point make_fail_app
        parse_address reraise seed set_non_blocking set_owner_process split_request_uri
        to_bytestring unlink unquote_to_wsgi_str warn write write_chunk write_error
        write_nonblock
    """,
    "gunicorn.uwsgi": "",
    "gunicorn.uwsgi.errors": """
        ForbiddenUWSGIRequest InvalidUWSGIHeader UWSGIParseException UnsupportedModifier
    """,
    "gunicorn.uwsgi.message": "UWSGIRequest",
    "gunicorn.uwsgi.parser": "UWSGIParser",
    "gunicorn.workers": "SUPPORTED_WORKERS",
    "gunicorn.workers.base": "Worker",
    "gunicorn.workers.gasgi": "ASGIWorker",
    "gunicorn.workers.ggevent": """
        GeventPyWSGIWorker GeventWorker PyWSGIHandler PyWSGIServer VERSION
    """,
    "gunicorn.workers.gthread": "TConn ThreadWorker",
    "gunicorn.workers.gtornado": "TornadoWorker",
    "gunicorn.workers.sync": "StopWaiting SyncWorker",
    "gunicorn.workers.workertmp": "WorkerTmp",
}

IMPORTED = {
    "gunicorn.app.base": "Arbiter",
    "gunicorn.http": "Message Request RequestParser",
    "gunicorn.uwsgi": """
        ForbiddenUWSGIRequest InvalidUWSGIHeader UWSGIParseException UWSGIParser UWSGIRequest
        UnsupportedModifier
    """,
    "gunicorn.workers.ggevent": """
        Pool StreamServer base_environ hub monkey pywsgi socket ssl_context
    """,
}

#: module: {reason: names}
ABSENT = {
    "gunicorn.ctl.cli": {
        "gunicorn.ctl.formats has one function for all answers": """
            format_all format_config format_dirty format_help format_listeners format_response
            format_stats format_workers
        """,
        "a session is no interface": "run_command run_interactive",
    },
    "gunicorn.config": {
        "settings are rows of gunicorn._settings, without a metaclass": "SettingMeta",
        "gunicorn.reloader has them": "reloader_engines",
        "a limit of streams is a count like others": "validate_http2_stream_limit",
    },
    "gunicorn.dirty.arbiter": {
        "gunicorn.dirty.protocol has them": """
            STASH_OP_CLEAR STASH_OP_DELETE STASH_OP_DELETE_TABLE STASH_OP_ENSURE STASH_OP_EXISTS
            STASH_OP_GET STASH_OP_INFO STASH_OP_KEYS STASH_OP_PUT STASH_OP_TABLES
        """,
        "web workers may not change the number of dirty workers": "MANAGE_OP_ADD MANAGE_OP_REMOVE",
    },
    "gunicorn.dirty.stash": {
        "gunicorn.dirty.protocol has them": """
            STASH_OP_CLEAR STASH_OP_DELETE STASH_OP_DELETE_TABLE STASH_OP_ENSURE STASH_OP_EXISTS
            STASH_OP_GET STASH_OP_INFO STASH_OP_KEYS STASH_OP_PUT STASH_OP_TABLES
        """,
    },
    "gunicorn.dirty.protocol": {
        "MSG_TYPE_TO_STR has the names": """
            MSG_TYPE_CHUNK_STR MSG_TYPE_END_STR MSG_TYPE_ERROR_STR MSG_TYPE_MANAGE_STR
            MSG_TYPE_REQUEST_STR MSG_TYPE_RESPONSE_STR MSG_TYPE_STASH_STR MSG_TYPE_STATUS_STR
        """,
        "web workers may not change the number of dirty workers; gunicornc asks the master": """
            MANAGE_OP_ADD MANAGE_OP_REMOVE MSG_TYPE_MANAGE make_manage_message
        """,
    },
    "gunicorn.http.body": {
        "the engine's limits are the settings'": """
            DEFAULT_MAX_CHUNK_SIZE_LINE DEFAULT_MAX_TRAILER_SECTION MAX_READ_STEP
        """,
    },
    "gunicorn.http.message": {
        "limits are settings, which are honoured as configured": """
            DEFAULT_MAX_HEADERFIELD_SIZE MAX_HEADERS MAX_REQUEST_LINE
        """,
        "the engine parses, in C": """
            HeaderPolicy RFC9110_5_3_SINGLETON_FIELDS RFC9110_5_6_2_TOKEN_SPECIALS
            RFC9110_6_5_1_FORBIDDEN_TRAILER
        """,
        "the engine reads PROXY headers, in C": "PPCommand PPFamily PPProtocol PP_V2_SIGNATURE",
    },
    "gunicorn.http.wsgi": {
        "the engine sends files": "BLKSIZE",
        "the engine reads PROXY headers, in C": "proxy_environ",
    },
    "gunicorn.reloader": {
        "a detail of the original's inotify reloader": "symlink_target_dir",
    },
    "gunicorn.sock": {
        "sys.platform is the same": "PLATFORM",
        "the engine reads what ALPN chose": "get_negotiated_protocol is_http2_negotiated",
    },
    "gunicorn.util": {
        "gunicorn.workers has it": "SUPPORTED_WORKERS",
        "a detail of get_arity()": "positionals",
    },
    "gunicorn.uwsgi.message": {
        "the engine's limit, which is the same": "MAX_UWSGI_VARS",
    },
    "gunicorn.workers.base": {
        "gunicorn.reloader has them": "reloader_engines",
    },
    "gunicorn.workers.ggevent": {
        "a detail of the access log's line": "GeventResponse",
    },
    "gunicorn.workers.gthread": {
        "the engine accepts and waits, in C": """
            DEFAULT_WORKER_DATA_TIMEOUT PollableMethodQueue STOP_KEEPALIVE_LINGER
        """,
    },
    "gunicorn.workers.gtornado": {
        "tornado.version is the same": "gversion",
    },
    "gunicorn.workers.workertmp": {
        "sys.platform is the same": "IS_CYGWIN PLATFORM",
    },
}
