"""testssl.sh, which tries all it knows against a server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from helpers.tls import Authority

GOOD = {"OK", "INFO", "LOW", "DEBUG"}

#: What is not the server's: of a certificate that was made for a test, and of the application.
OF_OTHERS = {
    "cert_chain_of_trust",
    "cert_expirationStatus",
    "cert_notAfter",
    "cert_revocation",
    "cert_trust",
    "cert_validityPeriod",
    "security_headers",
    # Its client ends before tickets arrive on a busy machine; test_tls.py looks at resumption.
    "sessionresumption_ticket",
    "OCSP_stapling",
    "DNS_CAArecord",
    "overall_grade",
    "grade_cap_reason_1",
}


@pytest.mark.slow
@pytest.mark.timeout(1300)
def test_nothing_above_low(gunicorn, worker, tmp_path):
    if "TESTSSL" not in os.environ:
        pytest.skip("it takes minutes: make testssl")
    command = shutil.which("testssl") or shutil.which("testssl.sh")
    assert command is not None, "testssl.sh is not installed"
    if worker != "gthread":
        pytest.skip("the same engine for all workers")
    pair = Authority(tmp_path).issue()
    server = gunicorn("secure", *pair.args, expect_trouble=True)
    report = tmp_path / "report.json"
    done = subprocess.run(
        [
            *(command, "--quiet", "--warnings=off", "--color=0", "--ip=127.0.0.1"),
            *("--jsonfile", str(report), f"localhost:{server.address[1]}"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    findings = json.loads(report.read_text())
    assert len(findings) > 100, done.stdout[-2000:]
    bad = [
        f"{one['id']} {one['severity']}: {one['finding']}"
        for one in findings
        if one["severity"] not in GOOD and one["id"].partition(" ")[0] not in OF_OTHERS
    ]
    assert not bad, "\n".join(bad)
