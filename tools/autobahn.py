"""Run Autobahn's fuzzing client, 517 cases of RFC 6455 and RFC 7692, against an echo.

    autobahn.py SERVER DIRECTORY [CASES...]

SERVER is the binary of the demo, `echo`, or the command `gunicorn`, which serves an ASGI
application; CASES as Autobahn has them ("1.*", "7.3.2"), all of them if there are
none. The package autobahntestsuite runs on Python 2.7 alone: the interpreter is PYTHON2, or
python2.7 on the PATH, and the package is installed below DIRECTORY, as is the report. Exits with 1
when a case fails or is not strict, and with 2 when there is no such interpreter.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

GOOD = {"OK", "INFORMATIONAL"}
AGENT = "echo"
START_SECONDS = 10


def find_interpreter() -> str:
    """Return a Python 2.7 that has pip, or exit."""
    name = os.environ.get("PYTHON2") or shutil.which("python2.7")
    if (
        name
        and subprocess.run([name, "-m", "pip", "--version"], capture_output=True).returncode == 0
    ):
        return name
    print(
        "autobahn: no Python 2.7 with pip, which autobahntestsuite needs: set PYTHON2=/path/to/it"
    )
    sys.exit(2)


def install(interpreter: str, directory: Path) -> Path:
    """Return the path of wstest, in an environment of its own that is made once."""
    wstest = directory / "venv" / "bin" / "wstest"
    if wstest.exists():
        return wstest
    tools = str(directory / "tools")
    pip = [interpreter, "-m", "pip", "install", "-q", "--target", tools, "virtualenv<20.22"]
    subprocess.run(pip, check=True)
    subprocess.run(
        [interpreter, "-m", "virtualenv", "-q", str(directory / "venv")],
        env={**os.environ, "PYTHONPATH": tools},
        check=True,
    )
    python = str(wstest.with_name("python"))
    subprocess.run([python, "-m", "pip", "install", "-q", "autobahntestsuite"], check=True)
    return wstest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command_of(server: str, port: int) -> list[str]:
    if Path(server).name != "gunicorn":
        return [server, "--websocket", str(port)]
    path = str(Path(__file__).parent)
    return [server, "-k", "asgi", "-b", f"127.0.0.1:{port}", "--pythonpath", path, "asgi_echo:app"]


def start(server: str, port: int) -> subprocess.Popen:
    """Return the server's process when it accepts connections."""
    process = subprocess.Popen(command_of(server, port))
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process
        except OSError:
            time.sleep(0.05)
    sys.exit("autobahn: the server does not start")


def run_cases(wstest: Path, directory: Path, port: int, cases: list[str]) -> None:
    specification = directory / "cases.json"
    specification.write_text(
        json.dumps(
            {
                "outdir": str(directory / "report"),
                "servers": [{"url": f"ws://127.0.0.1:{port}", "agent": AGENT}],
                "cases": cases or ["*"],
                "exclude-cases": [],
                "exclude-agent-cases": {},
            }
        )
    )
    subprocess.run([wstest, "-m", "fuzzingclient", "-s", specification], check=True)


def report(directory: Path) -> int:
    """Print the cases that are not as they should be; return how many there are."""
    results = json.loads((directory / "report" / "index.json").read_text())[AGENT]
    bad = {
        name: (result["behavior"], result["behaviorClose"])
        for name, result in results.items()
        if result["behavior"] not in GOOD or result["behaviorClose"] not in GOOD
    }
    for name, behaviour in bad.items():
        print(f"autobahn: {name}: {behaviour[0]}, its close {behaviour[1]}")
    print(f"autobahn: {len(results)} cases, {len(bad)} bad: {directory}/report/index.html")
    return len(bad)


def main(server: str, name: str, *cases: str) -> int:
    interpreter = find_interpreter()
    directory = Path(name).resolve()
    wstest = install(interpreter, directory)
    shutil.rmtree(directory / "report", ignore_errors=True)
    port = free_port()
    process = start(server, port)
    try:
        run_cases(wstest, directory, port, list(cases))
    finally:
        process.terminate()
        process.wait()
    return 1 if report(directory) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
