"""Where the original gunicorn differs on purpose: patterns of test names and why.

Used only when the command under test is the original. Every line is a documented defect of
gunicorn 27.0.1 or a feature that it does not have, not an accident of a test.
"""

REFERENCE_FAILS: dict[str, str] = {
    # test_http1.py
    "test_http1.py::test_content_length_refused*-2^64*": "a length has no upper bound",
    "test_http1.py::test_content_length_refused*-forty-digits*": "a length has no upper bound",
    "test_http1.py::test_chunked_refused*-size-2^6*": "a chunk size has no upper bound",
    "test_http1.py::test_error_page*-501?": "says 501 Bad Request",
    "test_http1.py::test_limit_request_line*-16000?": "caps the limit at 8190 silently",
    "test_http1.py::test_limit_request_field_size_zero*": "zero means 8190",
    "test_http1.py::test_transfer_encoding_accepted*": "does not know the size of chunked bodies",
    # test_wsgi_answers.py
    "test_wsgi_answers.py::test_bad_headers*-length-negative-?": "passes a negative length on",
    "test_wsgi_answers.py::test_exc_info_replaces*": "keeps the first headers as well",
    "test_wsgi_answers.py::test_too_short_closes*gthread?": "keeps the connection",
    "test_wsgi_answers.py::test_write_of_text*": "has sent the headers before it looks",
    "test_wsgi_answers.py::test_wrong_body*": "has sent the headers before it looks",
    "test_wsgi_answers.py::test_close_is_called_once*no_start_generator?": "says HTTP/1.1 None",
    "test_wsgi_answers.py::test_start_response_not_called*": "says HTTP/1.1 None",
    "test_wsgi_answers.py::test_error_types?*Error?": "takes the application's OSError for its own",
    "test_wsgi_answers.py::test_error_types?*-StopIteration?": "takes it for its own: no answer",
    "test_wsgi_answers.py::test_error_types?gthread-SystemExit?": "ends the worker without answer",
    "test_wsgi_answers.py::test_error_types_later?*Error?": "does not log an OSError",
    "test_wsgi_answers.py::test_environ_is_the_applications_own*": "reads the environ afterwards",
    "test_wsgi_answers.py::test_status_without_reason*": "leaves out the space",
    "test_wsgi_answers.py::test_error_page_of_head*": "sends the page",
    # test_generated_applications.py
    "test_generated_applications.py::*": "any of these defects",
    # test_wsgi_environ.py
    "test_wsgi_environ.py::test_nothing_is_left*?sync?": "sync has no keep-alive",
    "test_wsgi_environ.py::test_header_values_change*?sync?": "sync has no keep-alive",
    # test_wsgi_files.py
    "test_wsgi_files.py::test_file?*-sendfile-0-*": "two last chunks after an empty file",
    "test_wsgi_files.py::test_offset?*-sendfile-100000-*": "two last chunks after an empty file",
    "test_wsgi_files.py::test_offset_past_the_end*-sendfile?": "a chunk of negative size",
    "test_wsgi_files.py::test_closed_once*-sendfile-GET-0?": "two last chunks after an empty file",
    "test_wsgi_files.py::test_kept_alive*": "two last chunks; sync has no keep-alive",
    # test_proxy_protocol.py
    "test_proxy_protocol.py::test_the_client_of_every_request*": "sync closes, gthread forgets it",
    "test_proxy_protocol.py::test_the_client_of_one*-v1-ipv6?": "keeps the address as it came",
    "test_proxy_protocol.py::test_the_client_of_one*-v2-[qnt]*": "no QUIC, no names, no TLS",
    "test_proxy_protocol.py::test_a_client_on_a_unix_socket*": "has no Unix sockets",
    "test_proxy_protocol.py::test_nobody_is_named*PROXY UNKNOWN*": "refuses UNKNOWN",
    "test_proxy_protocol.py::test_nobody_is_named*QUIT*": "REMOTE_ADDR is None",
    "test_proxy_protocol.py::test_malformed*": "takes it, or says 500; its words are others",
    "test_proxy_protocol.py::test_cut_short*": "does not answer",
    "test_proxy_protocol.py::test_header_timeout*": "has no header_timeout",
    "test_proxy_protocol.py::test_before_tls*": "reads the header inside TLS",
    "test_proxy_protocol.py::test_clients_do_not_mix*": "sync closes, gthread forgets them",
    "test_proxy_protocol.py::test_a_request_that_another_worker*": "has no fair dispatch",
    "test_proxy_protocol.py::test_haproxy*": "sync closes, gthread forgets it; knows no TLVs",
    # test_connection.py
    "test_connection.py::test_pipelined?*sync*": "sync has no keep-alive",
    "test_connection.py::test_pipelined_in_pieces?*sync*": "sync has no keep-alive",
    "test_connection.py::test_pipelined_with_input_ended?*sync*": "sync has no keep-alive",
    "test_connection.py::test_pipelined_large_answers?*sync*": "sync has no keep-alive",
    "test_connection.py::test_pipelined_heads_and_bodiless?*sync*": "sync has no keep-alive",
    "test_connection.py::test_pipelined_behind_a_bad_request?*sync*": "sync has no keep-alive",
    "test_connection.py::test_unread_body_is_not_a_request?*sync*": "sync has no keep-alive",
    "test_connection.py::test_kept_alive?*sync*": "sync has no keep-alive",
    "test_connection.py::test_connection_kept?*sync*": "sync has no keep-alive",
    "test_connection.py::test_keepalive_seconds?*sync*": "sync has no keep-alive",
    "test_connection.py::test_keepalive_starts_anew?*sync*": "sync has no keep-alive",
    "test_connection.py::test_many_kept_alive?*sync*": "sync has no keep-alive",
    "test_connection.py::test_expect_kept_alive?*sync*": "sync has no keep-alive",
    "test_connection.py::test_connection_is_one_of_many?*sync*": "sync has no keep-alive",
    "test_connection.py::test_http_1_0_keep_alive*": "sync has no keep-alive; no list of tokens",
    "test_connection.py::test_connection_close*": "Connection is no list of tokens",
    "test_connection.py::test_body_cut_short*": "the application sees the part as the whole",
    "test_connection.py::test_streamed_body_cut_short*": "the end looks like that of the body",
    "test_connection.py::test_expect_of_a_stream_that_is_read*": "reads 1 KiB for 5 bytes",
    "test_connection.py::test_expect_of_a_stream_that_is_not_read*": "100 although nobody reads",
    "test_connection.py::test_unread_body_is_not_a_request*": "drains 64 KiB at most",
    "test_connection.py::test_early_answer_to_a_large_upload*": "a reset behind the answer",
    # test_slow_clients.py
    "test_slow_clients.py::*": "slow and idle clients hold its threads",
    # test_concurrency.py, test_binding.py, test_stopping.py
    "test_concurrency.py::test_worker_connections*": "kept connections hold their places",
    "test_binding.py::test_several?sync?": "sync has no keep-alive",
    "test_stopping.py::test_term_with_idle_connections*": "waits for idle connections",
    "test_stopping.py::test_term_finishes_a_slow_reader*": "cuts a slow reader off",
    "test_stopping.py::test_int_does_not_wait*gthread*": "waits for its threads for ever",
}
