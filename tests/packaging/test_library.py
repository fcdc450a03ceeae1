"""The extension module as a file."""

import struct
import sys
from pathlib import Path

import pytest
from helpers.server import SANITIZED

from gunicorn import _core

PT_DYNAMIC, DT_FLAGS, DF_STATIC_TLS = 2, 30, 0x10


def dynamic_section(image: bytes) -> dict[int, int]:
    """The tags of an ELF file of 64 bits."""
    at, size, count = *struct.unpack_from("<Q", image, 32), *struct.unpack_from("<HH", image, 54)
    for header in (struct.unpack_from("<IIQQQQ", image, at + i * size) for i in range(count)):
        if header[0] == PT_DYNAMIC:
            section = image[header[2] : header[2] + header[5]]
            return dict(struct.iter_unpack("<QQ", section))
    raise AssertionError("no dynamic section")


@pytest.mark.skipif(sys.platform != "linux" or sys.maxsize < 2**32, reason="ELF of 64 bits")
@pytest.mark.skipif(SANITIZED, reason="sanitizers have such variables")
def test_thread_local_variables_can_be_loaded_by_musl():
    """Which gives none of the initial-exec model to a library that dlopen() loads."""
    tags = dynamic_section(Path(_core.__file__).read_bytes())
    assert tags.get(DT_FLAGS, 0) & DF_STATIC_TLS == 0
