"""The engines that notice changed code, by themselves."""

from __future__ import annotations

import os
import sys
import time
import types

import pytest

from gunicorn import reloader


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The path of a module that is imported."""
    path = tmp_path / "watched.py"
    path.write_text("x = 1")
    watched = types.ModuleType("watched")
    watched.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "watched", watched)
    return path


@pytest.fixture
def changes(module):
    """changes(): the files below the module's directory that changed since the last call."""
    engine = reloader.Reloader()

    def changes():
        return sorted(
            os.path.basename(name)
            for name in engine.changed_files()
            if name.startswith(str(module.parent))
        )

    changes.engine = engine
    assert changes() == []
    return changes


def test_nothing_changed(changes):
    assert changes() == []


def test_saved_while_the_application_was_loaded(module):
    engine = reloader.Reloader()
    os.utime(module, (time.time() + 1, time.time() + 1))
    assert str(module) in engine.changed_files()
    assert str(module) not in engine.changed_files()


def test_extra_file_saved_while_the_application_was_loaded(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    engine = reloader.Reloader(extra_files=[str(tmp_path / "*.txt")])
    (tmp_path / "a.txt").write_text("aa")
    assert engine.changed_files() == [str(tmp_path / "a.txt")]


def test_edited(changes, module):
    module.write_text("x = 22")
    assert changes() == ["watched.py"]
    assert changes() == []


def test_replaced_by_an_older_file(changes, module):
    other = module.with_name("other.py")
    other.write_text("x = 3")
    os.utime(other, (1, 1))
    other.rename(module)
    assert changes() == ["watched.py"]


def test_gap_while_an_editor_renames(changes, module):
    module.unlink()
    assert changes() == []
    module.write_text("x = 44")
    assert changes() == ["watched.py"]


def test_deleted(changes, module):
    module.unlink()
    assert changes() == []
    assert changes() == ["watched.py"]
    assert changes() == []
    module.write_text("new again")
    assert changes() == []


def test_new_modules_are_watched(changes, module, monkeypatch):
    path = module.with_name("later.py")
    path.write_text("")
    later = types.ModuleType("later")
    later.__file__ = f"{path}c"  # as of a module without its source at hand
    monkeypatch.setitem(sys.modules, "later", later)
    assert changes() == []
    path.write_text("changed")
    assert changes() == ["later.py"]


def test_extra_files_and_patterns(module):
    directory = module.parent
    (directory / "a.html").write_text("a")
    (directory / "conf").write_text("c")
    extra = [str(directory / "*.html"), str(directory / "conf"), str(directory / "missing")]
    engine = reloader.Reloader(extra_files=extra)
    engine.changed_files()
    (directory / "a.html").write_text("aa")
    (directory / "conf").write_text("cc")
    assert {os.path.basename(name) for name in engine.changed_files()} >= {"a.html", "conf"}
    (directory / "b.html").write_text("b")
    assert str(directory / "b.html") not in engine.changed_files()
    (directory / "b.html").write_text("bb")
    assert str(directory / "b.html") in engine.changed_files()


@pytest.mark.parametrize("name", ["auto", "poll", "inotify"])
def test_engines_call_back(module, name):
    import threading

    seen = threading.Event()
    engine = reloader.reloader_engines[name](
        extra_files=[str(module)], callback=lambda filename: filename == str(module) and seen.set()
    )
    engine._interval = 0.05
    assert engine.daemon
    engine.start()
    for number in range(100):
        module.write_text(f"x = {'1' * number}")
        if seen.wait(0.1):
            break
    assert seen.is_set()


def test_inotify_is_told(module, monkeypatch):
    """Changes are noticed although the engine does not look by itself."""
    import threading

    if not reloader.has_inotify:
        pytest.skip("inotify is a feature of Linux")
    monkeypatch.setattr(reloader, "LOOK_INTERVAL", 3600.0)
    directory = module.parent
    (directory / "templates").mkdir()
    (directory / "templates" / "a.html").write_text("a")
    changed = threading.Condition()
    seen = []

    def callback(filename):
        with changed:
            seen.append(os.path.basename(filename))
            changed.notify()

    engine = reloader.InotifyReloader([str(directory / "**" / "*.html")], 0.1, callback)
    engine.start()
    steps = [
        ("watched.py", lambda: module.write_text("x = 22")),
        ("a.html", lambda: (directory / "templates" / "a.html").write_text("aa")),
        ("watched.py", module.unlink),
    ]
    with changed:
        for name, change in steps:
            seen.clear()
            while engine._stamps.get(str(module)) is None:
                changed.wait(0.01)
            change()
            assert changed.wait_for(lambda name=name: name in seen, 5), name
        seen.clear()
        (directory / "unrelated").write_text("y")
        assert not changed.wait_for(lambda: seen, 0.5)
