#!/usr/bin/env python3
"""Compile all C of src for other platforms with the compiler of the package ziglang.

Usage: cross_compile.py FOLDER [TARGET...]

Nothing is linked, nothing is run: headers of OpenSSL, zlib, nghttp2 and Python are those of
this machine, whose declarations are the same everywhere. The exit status is 1 if a file does not
compile, or with a warning.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ZIG = [sys.executable, "-m", "ziglang"]
LIBRARIES = ("base", "proto", "net", "serve", "proc")
HEADERS = ("openssl", "zlib.h", "zconf.h", "nghttp2")

# Zig's name: Meson's system and processor.
TARGETS = {
    "x86_64-linux-musl": ("linux", "x86_64"),
    "x86-linux-musl": ("linux", "x86"),
    "aarch64-linux-musl": ("linux", "aarch64"),
    "aarch64-linux-gnu": ("linux", "aarch64"),
    "aarch64-macos": ("darwin", "aarch64"),
    "x86_64-macos": ("darwin", "x86_64"),
    "x86_64-freebsd": ("freebsd", "x86_64"),
}

CROSS_FILE = """
[binaries]
c = {cc}
ar = {ar}
pkg-config = 'pkg-config'
[properties]
pkg_config_libdir = '{packages}'
[host_machine]
system = '{system}'
cpu_family = '{cpu}'
cpu = '{cpu}'
endian = 'little'
"""


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def link_headers(folder: Path, names: Sequence[str] = HEADERS) -> None:
    """Have in `folder` the headers of the libraries alone, and none of this machine's libc."""
    (folder / "openssl").mkdir(parents=True, exist_ok=True)
    for name in names:
        for place in header_places(name):
            files = sorted(place.glob("*.h")) if place.is_dir() else [place]
            for file in files:
                link = folder / name / file.name if place.is_dir() else folder / name
                link.parent.mkdir(exist_ok=True)
                link.unlink(missing_ok=True)
                link.symlink_to(file)


def header_places(name: str) -> list[Path]:
    include = Path("/usr/include")
    machine = include / (sysconfig.get_config_var("MULTIARCH") or "")
    return [place for place in (include / name, machine / name) if place.exists()]


def describe_package(
    folder: Path, name: str, version: str, flags: str, libraries: str = ""
) -> None:
    """Write a file for pkg-config."""
    folder.mkdir(parents=True, exist_ok=True)
    text = f"Name: {name}\nDescription: {name}\nVersion: {version}\nCflags: {flags}\n"
    (folder / f"{name}.pc").write_text(f"{text}Libs: {libraries}\n")


def describe_packages(folder: Path, headers: Path) -> None:
    """Write files for pkg-config that name those headers, and no library."""
    for name in ("openssl", "zlib", "libnghttp2"):
        version = output_of("pkg-config", "--modversion", name)
        describe_package(folder, name, version, f"-I{headers}")


def compile_engine(folder: Path, target: str, packages: Path) -> bool:
    """Compile the layers without Python. The build folder is made anew."""
    system, cpu = TARGETS[target]
    cross = folder.with_suffix(".ini")
    cc = [*ZIG, "cc", "-target", target]
    cross.write_text(
        CROSS_FILE.format(cc=cc, ar=[*ZIG, "ar"], packages=packages, system=system, cpu=cpu)
    )
    setup = ["-Dextension=false", "-Dtests=disabled", "-Db_lto=false", "-Dwerror=true"]
    setup += ["-Dbuildtype=debug", "-Db_ndebug=true"]
    libraries = [f"src/lib{name}.a" for name in LIBRARIES]
    return run("meson", "setup", "--wipe", "--cross-file", cross, *setup, folder, ROOT) and run(
        "ninja", "-C", folder, "-k0", "--quiet", *libraries
    )


def compile_extension(folder: Path, target: str, headers: Path) -> bool:
    """Compile the files of ext, for processors on which Python's headers hold."""
    if TARGETS[target][1] == "x86":
        return True
    folder.mkdir(exist_ok=True)
    python = sysconfig.get_paths()["include"]
    includes = [f"-I{ROOT / 'src'}", f"-I{headers}", f"-isystem{python}"]
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-c"]
    files = sorted((ROOT / "src/ext").rglob("*.c"))
    return run(*ZIG, "cc", "-target", target, *flags, *includes, *files, cwd=folder)


def run(*command: object, cwd: Path = ROOT) -> bool:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout + done.stderr)
    return done.returncode == 0


def main() -> int:
    folder = Path(sys.argv[1]).resolve()
    headers, packages = folder / "include", folder / "packages"
    link_headers(headers)
    describe_packages(packages, headers)
    failed = []
    for target in sys.argv[2:] or TARGETS:
        engine = compile_engine(folder / target, target, packages)
        if not (compile_extension(folder / f"{target}-ext", target, headers) and engine):
            failed.append(target)
        print(f"{target}: {'FAILED' if target in failed else 'compiles'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
