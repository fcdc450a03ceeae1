"""What is meant to differ from gunicorn in a transcript, and where docs/differences.md says so."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass


@dataclass
class Difference:
    """Lines of scenarios (a pattern) that differ: `line` matches the diff's, sign included."""

    scenarios: str
    line: str
    reason: str

    def covers(self, name: str, line: str) -> bool:
        return fnmatch.fnmatchcase(name, self.scenarios) and bool(re.fullmatch(self.line, line))


PLACED = "a bad value is told with the setting and its place"

DIFFERENCES = [
    Difference(
        "asgi_*",
        r"- \[INFO\] (ASGI server listening on .*|Worker shutting down\.\.\.)",
        "log lines of the other workers",
    ),
    Difference("asgi_*", r"\+ \[WARNING\] Invalid request from .*", "what is refused is logged"),
    Difference(
        "asgi_targets",
        r"- answer .*'(http://b\.example(/x)?|/x#f)'.*|\+ answer .*'(/x?)', b'\3'.*",
        "the path is that of the target",
    ),
    Difference(
        "asgi_answers",
        r". \[ERROR\] Error (in ASGI application|handling request GET .*)"
        r"|. (Runtime|Value)Error: .*|- gunicorn\.http\.errors\.InvalidResponseHeader: .*",
        "an error names its request",
    ),
    Difference("asgi_answers", r"- answer .*'fo'|\+ answer 500", "too many bytes are an error"),
    Difference("asgi_answers", r"- answer 400|\+ answer HTTP/1\.2 200 .*", "as the other workers"),
    Difference(
        "asgi_answers", r"- \[WARNING\] ASGI app sent body bytes on a no-body.*", "no fault of it"
    ),
    Difference("fails_negative_number", ".*positive.*", PLACED),
    Difference("fails_unknown_group", ".*No such group: 'nosuchgroup'", PLACED),
    Difference("fails_pidfile_is_a_directory", ".*directory.*", "one line, no traceback"),
    Difference("fails_no_certificate", ".*nosuch.pem.*", "one line, no traceback"),
    Difference("long_request_line", r'\+ .*"- - -" 414 .*', "what is refused has a line"),
    Difference("fails_bad_port", ".*'http' is not a valid port number.*", PLACED),
    Difference("fails_no_chdir", ".*can't chdir to 'nosuch'", PLACED),
    Difference("fails_unknown_user", ".*No such user: 'nosuchuser'", PLACED),
    Difference(
        "bad_value_in_config_file", ".*(int|number).*|- Invalid value for workers.*", PLACED
    ),
    Difference("hook_of_wrong_arity", ".*(arity|Invalid value).*", PLACED),
    Difference("fails_bad_environment", ".*environment setting 'A' invalid.*", PLACED),
    Difference("logging_by_broken_dictionary", ".*Unable to configure root logger.*", PLACED),
    Difference("fails_no_log_directory", ".*'nosuch/log' isn't writable.*", "told once, no repr"),
    Difference(
        "fails_no_unix_directory", r"\+ \[ERROR\] There is no directory.*", "what helps is told"
    ),
    Difference(
        "unix_socket_in_the_way",
        r"- ValueError: .* is not a socket|\+ \[ERROR\] .*",
        "two lines, no traceback",
    ),
    Difference("fails_unknown_worker", ".*", "the message lists the workers; no traceback"),
    Difference(
        "fails*no_attribute",
        r".*Failed to find attribute 'nosuch' in 'app'\..*",
        "the name that may be meant is told",
    ),
    Difference(
        "fails_preload_no_attribute",
        "- AttributeError: module 'app' has no attribute 'nosuch'",
        "the exception behind ours is not told",
    ),
    Difference(
        "fails_*",
        r"- (\[ERROR\] Exception in worker process|(ModuleNotFound|Import|Value)Error: .*)"
        r"|[-+] (No module named 'nosuch'.*|Error: No module named 'nosuch'.*)"
        "|- (Empty module name|Error while loading the application:)"
        "|[+] '' is no module; the application is MODULE:NAME.",
        "that there is no such module is told in a line, with where it was looked for",
    ),
    Difference(
        "request_outlasts_graceful_timeout",
        r"- .*was sent SIGKILL!.*|\+ \[WARNING\] Worker graceful timeout \(pid:N\): .*",
        "the worker ends by itself, in order, before the master kills it",
    ),
    Difference(
        "second_int_hurries",
        ".*(was sent SIGKILL!|Worker exiting).*",
        "the worker is told of the hurry, and ends by itself",
    ),
    Difference(
        "*",
        r".*Worker \(pid:N\) was sent SIGTERM!",
        "luck, in both: a worker dies of it before it has handlers, or after it put them off",
    ),
    Difference(
        "stop_by_*",
        r"- (SystemExit: 0|\[ERROR\] Error handling request GET /)",
        "luck, in gunicorn: the signal found it between the answer and the end of its work for it",
    ),
    Difference(
        "worker_[at]*ed*",
        r"\+ \[INFO\] Worker \(pid:N\) ended by itself with status 0\.",
        "the master had not told it to",
    ),
    Difference(
        "worker_exits",
        r"\+ \[WARNING\] Worker \(pid:N\) ended by itself with status 5\. It was running GET .*",
        "the log says which request has done it",
    ),
    Difference("worker_aborted*", r"\+ Fatal Python error: Aborted", "the stacks are in the log"),
    Difference(
        "worker_killed",
        r".*was sent SIGKILL! Perhaps out of memory\?.*",
        "the log says what it was running, as it may still have been",
    ),
    Difference(
        "*_time*out*",
        r"\+ .*(Fatal Python error|has been running GET /sleep|Worker exiting|worker_exit).*"
        "|- .*Perhaps out of memory.*",
        "the request and the stacks are in the log, and the worker has time to say its last word",
    ),
]
