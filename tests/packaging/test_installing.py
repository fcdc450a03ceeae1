"""The wheel is installed by pip and by uv, beside packages that require gunicorn."""

from __future__ import annotations

import sys

import pytest
from helpers.server import SANITIZED
from packaging_tools import PATIENCE, ROOT, PipEnvironment, UvEnvironment, run, version

pytestmark = [
    pytest.mark.skipif(SANITIZED, reason="what is installed here is another build"),
    pytest.mark.timeout(2 * PATIENCE),
]

OURS = "import gunicorn._core as c; print(c.__file__)"


def assert_is_ours(environment) -> None:
    assert str(environment.path) in environment.python(OURS)
    assert environment.gunicorn("--version") == f"gunicorn (version {version()})\n"


def test_packages_that_require_gunicorn_keep_ours(environment, wheel):
    environment.install(wheel)
    before = environment.files()
    environment.install("uvicorn-worker", "needs-gunicorn")
    assert_is_ours(environment)
    assert not [p for p in environment.files() - before if "/gunicorn" in p]
    environment.command("check")
    environment.python("import needs_gunicorn, uvicorn_worker")


def test_uninstalling_leaves_nothing(environment, wheel):
    environment.install(wheel)
    environment.command("uninstall", "monoceros")
    assert environment.files() == environment.empty


def test_original_over_ours_is_told_in_one_line(environment, wheel):
    environment.install("--no-deps", "gunicorn")
    environment.install("--no-deps", wheel)
    said = environment.gunicorn("--version").splitlines()
    assert len([line for line in said if "original gunicorn" in line]) == 1, said
    assert said[-1] == f"gunicorn (version {version()})"


def test_what_it_says_mends_it(environment, wheel):
    environment.install("--no-deps", "gunicorn")
    environment.install("--no-deps", wheel)
    environment.command("uninstall", "gunicorn", "monoceros")
    assert not [p for p in environment.files() if "/gunicorn" in p]
    environment.install(wheel)
    assert environment.gunicorn("--version") == f"gunicorn (version {version()})\n"


def test_requirement_alone_is_not_uninstalled(tmp_path, packages, wheel):
    environment = PipEnvironment(tmp_path / "venv", packages)
    environment.install(wheel)
    with pytest.raises(AssertionError, match="monoceros"):
        environment.command("uninstall", "gunicorn")
    assert_is_ours(environment)


def test_uv_installs_all_at_once_when_told_to_leave_the_original_out(tmp_path, packages, wheel):
    environment = UvEnvironment(tmp_path / "venv", packages)
    override = tmp_path / "override.txt"
    override.write_text("gunicorn ; python_version < '0'\n")
    environment.install("--override", override, wheel, "uvicorn-worker")
    assert_is_ours(environment)
    environment.command("check")


def test_all_is_installed_at_once_beside_the_name(environment, wheel, tmp_path):
    """The wheel of the name alone is the `gunicorn` that others require."""
    run(sys.executable, ROOT / "tools/make_shim.py", version(), tmp_path)
    (shim,) = tmp_path.glob("gunicorn-*.whl")
    environment.install(shim, wheel, "uvicorn-worker")
    assert_is_ours(environment)
    environment.command("check")
    environment.python("import uvicorn_worker")


def test_paste_finds_its_server(environment, wheel):
    environment.install(wheel)
    found = environment.python(
        "from importlib.metadata import distribution as d;"
        "print([e.value for e in d('gunicorn').entry_points if e.group == 'paste.server_runner'])"
    )
    assert found == "['gunicorn.app.pasterapp:serve']"


def test_as_a_module(environment, wheel):
    environment.install(wheel)
    said = run(environment.path / "bin" / "python", "-m", "gunicorn", "--version")
    assert said == f"gunicorn (version {version()})\n"
