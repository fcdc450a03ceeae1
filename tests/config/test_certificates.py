"""What is said of certificates and TLS settings that cannot be used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from helpers.command import COMMAND_TIMEOUT, command_environment
from helpers.tls import Authority


@pytest.fixture(params=[(), ("--check-config",), ("-k", "gthread"), ("--daemon",)], ids=str)
def refused(request, command, tmp_path):
    """refused(*args): the one line that is said by a server that does not start."""

    def refused(*args):
        done = command("-b", "unix:s", *args, *request.param, "app:app")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1, done.stderr
        return lines[0]

    return refused


@pytest.mark.parametrize("name", ["certfile", "keyfile", "ca_certs"])
def test_missing_file(refused, pair, name):
    said = refused(*pair.args, f"--{name.replace('_', '-')}", "nope.pem")
    assert said == f"Error: {name}: 'nope.pem' cannot be read: No such file or directory"


@pytest.mark.parametrize("name", ["certfile", "keyfile", "ca_certs"])
def test_garbage_in_a_file(refused, pair, directory, name):
    (directory / "garbage.pem").write_text("no PEM\n")
    said = refused(*pair.args, f"--{name.replace('_', '-')}", "garbage.pem")
    assert said.startswith(f"Error: {name}: 'garbage.pem' holds no ")


@pytest.mark.parametrize("rsa", [False, True])
def test_other_key(refused, authority, pair, rsa):
    other = authority.issue(file="other", rsa=rsa)
    said = refused("--certfile", str(pair.certfile), "--keyfile", str(other.keyfile))
    assert said.startswith("Error: keyfile: ") and "is not the key of the certificate" in said


def test_chain_in_the_wrong_order(refused, directory):
    """The server's own certificate comes after the one that signed it."""
    (directory / "root").mkdir(exist_ok=True)
    pair = Authority(directory / "root", Authority(directory / "root"), "between").issue()
    parts = re.findall(r"-----BEGIN.*?-----END [^\n]*\n", pair.certfile.read_text(), re.S)
    assert len(parts) > 1
    (directory / "reversed.pem").write_text("".join(reversed(parts)))
    said = refused("--certfile", "reversed.pem", "--keyfile", str(pair.keyfile))
    assert said.endswith("if there are several in it, the server's own has to be the first")


def test_no_key(refused, pair):
    said = refused("--certfile", str(pair.certfile))
    assert said.startswith("Error: keyfile: is not set, and ")


def test_no_certificate(refused, pair):
    said = refused("--keyfile", str(pair.keyfile))
    assert said.startswith("Error: certfile: is not set, and ")


def test_bad_ciphers(refused, pair):
    said = refused(*pair.args, "--ciphers", "BOGUS")
    assert said.startswith("Error: ciphers: OpenSSL can use nothing of 'BOGUS'")


def test_bad_cert_reqs(refused, pair):
    said = refused(*pair.args, "--cert-reqs", "7")
    assert said.startswith("Error: cert_reqs: 7 is none of 0 (")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 5", "ssl_context: the hook returned 5; it has to return an ssl.SSLContext"),
        ("raise KeyError('x')", "ssl_context: the hook raised KeyError: 'x'"),
        ("config.nonsense", "ssl_context: the hook raised AttributeError: "),
    ],
)
def test_bad_hook(refused, pair, directory, body, said):
    (directory / "hook.py").write_text(f"def ssl_context(config, factory):\n    {body}\n")
    assert refused(*pair.args, "-c", "hook.py").startswith(f"Error: {said}")


def test_encrypted_key_without_a_terminal(refused, pair, directory):
    key = pair.encrypted(directory / "encrypted.key", "sesame").keyfile
    said = refused("--certfile", str(pair.certfile), "--keyfile", str(key))
    assert "is encrypted, and there is no terminal to ask for its pass phrase" in said


@pytest.mark.parametrize(("phrase", "code"), [("sesame", 0), ("mistaken", 1), ("", 1)])
def test_encrypted_key_at_a_terminal(pair, directory, phrase, code):
    key = pair.encrypted(directory / "encrypted.key", "sesame").keyfile
    args = ["--certfile", str(pair.certfile), "--keyfile", str(key), "--check-config", "app:app"]
    terminal, end = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *args],
        cwd=directory,
        env=command_environment(directory),
        stdin=end,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        question = f"Pass phrase of {key}: ".encode()
        assert process.stderr.read(len(question)) == question
        os.write(terminal, phrase.encode() + b"\n")
        said = process.stderr.read().decode()
        assert process.wait(COMMAND_TIMEOUT) == code, said
    os.close(end)
    os.close(terminal)
    if code:
        assert f"Error: keyfile: the pass phrase given does not open {str(key)!r}" in said


def test_good_certificates(command, pair, authority):
    done = command(*pair.args, "--ca-certs", str(authority.cafile), "--check-config", "app:app")
    assert (done.returncode, done.stderr) == (0, "")


def test_hook_without_a_certificate_is_warned_of(command, directory):
    (directory / "hook.py").write_text("def ssl_context(config, factory):\n    return factory()\n")
    done = command("-c", "hook.py", "--check-config", "app:app")
    assert done.returncode == 0
    assert done.stderr.startswith("Warning: ssl_context: ")


def test_other_workers_look_after_themselves(command, directory, pair):
    """Of a worker class with a server of its own the engine asks nothing."""
    args = ["--certfile", str(pair.certfile), "-k", "app.OwnWorker", "--check-config", "app:app"]
    assert command(*args).returncode == 0


# A function of OpenSSL that another library defines, and the library that the engine looks at.
FOREIGN = [("SSL_new", "python"), ("OpenSSL_version_num", "system")]


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
@pytest.mark.parametrize(("function", "library"), FOREIGN)
def test_two_libraries_are_not_mixed(command, pair, directory, function, library):
    """Python's ssl would call the one that is loaded for all, and the engine another."""
    (directory / "foreign.c").write_text(f"unsigned long {function}(void) {{ return 0; }}\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "foreign.so", "foreign.c"], cwd=directory)
    env = {"LD_PRELOAD": str(directory / "foreign.so"), "GUNICORN_OPENSSL": library}
    done = command("-b", "unix:s", "--check-config", *pair.args, "app:app", env=env)
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert "another OpenSSL is loaded for the whole process (LD_PRELOAD)" in done.stderr
