"""Digests of images: those of other programs, and none that waits."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microscope_quality.errors import FileError
from microscope_quality.files.digest import digest_of


@settings(deadline=None)
@given(st.integers(0, 2**21 + 3))
def test_a_file_has_the_digest_that_hashlib_gives(tmp_path_factory, size):
    path = tmp_path_factory.mktemp("digest") / "a.tif"
    content = bytes(range(251)) * (size // 251 + 1)
    path.write_bytes(content[:size])
    assert digest_of(path) == hashlib.sha256(content[:size]).hexdigest()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_a_file_has_the_digest_that_the_system_s_program_gives(tmp_path):
    (tmp_path / "a.tif").write_bytes(os.urandom(3 * 2**20))
    (tmp_path / "link.tif").symlink_to("a.tif")
    said = subprocess.run(["sha256sum", tmp_path / "a.tif"], capture_output=True, text=True)
    assert digest_of(tmp_path / "link.tif") == said.stdout.split()[0]


def sha256(content):
    return hashlib.sha256(content).hexdigest().encode()


def zarr(folder):
    folder.mkdir(parents=True)
    (folder / ".zgroup").write_bytes(b"{}")
    (folder / "0" / "0").mkdir(parents=True)
    (folder / "0" / "0" / "1").write_bytes(b"chunk")
    (folder / "0.txt").write_bytes(b"")
    (folder / "empty").mkdir()
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="needs links, pipes and sockets")
def test_a_folder_of_ome_zarr_has_the_digest_that_is_described(tmp_path):
    folder = zarr(tmp_path / "a.ome.zarr")
    (folder / "0" / "up").symlink_to("../elsewhere")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / "s"))
    entries = [
        (b".zgroup", b"2", sha256(b"{}")),
        (b"0.txt", b"0", sha256(b"")),
        (b"0/0/1", b"5", sha256(b"chunk")),
        (b"0/up", b"link", sha256(b"../elsewhere")),
        (b"pipe", b"pipe", sha256(b"")),
        (b"s", b"socket", sha256(b"")),
    ]
    content = b"".join(b"\0".join(entry) for entry in entries)
    assert digest_of(folder) == hashlib.sha256(content).hexdigest()
    (tmp_path / "link.zarr").symlink_to(folder)
    assert digest_of(tmp_path / "link.zarr") == digest_of(folder)


@pytest.mark.parametrize("change", ["chunk", "name", "more", "less", "swapped"])
def test_whatever_changes_in_a_folder_its_digest_does(tmp_path, change):
    folder = zarr(tmp_path / "a.zarr")
    before = digest_of(folder)
    chunk = folder / "0" / "0" / "1"
    if change == "chunk":
        chunk.write_bytes(b"Chunk")
    elif change == "name":
        chunk.rename(chunk.with_name("2"))
    elif change == "more":
        chunk.with_name("2").write_bytes(b"")
    elif change == "less":
        chunk.unlink()
    else:
        chunk.write_bytes(b"{}")
        (folder / ".zgroup").write_bytes(b"chunk")
    assert digest_of(folder) != before
    # A copy has the same one.
    shutil.copytree(folder, tmp_path / "b.zarr")
    assert digest_of(tmp_path / "b.zarr") == digest_of(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nothing", "circle", "NUL"])
def test_what_is_no_file_has_none(tmp_path, kind):
    path = tmp_path / "a.tif"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "circle":
        path.symlink_to("a.tif")
    elif kind == "NUL":
        path = tmp_path / "a\0.tif"
    with pytest.raises(FileError, match=r"a(\\x00)?\.tif'?: "):
        digest_of(path)


def test_a_file_that_grows_is_not_read_for_ever(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(bytes(2**24))
    going = threading.Event()

    def grow():
        with path.open("ab", buffering=0) as stream:
            while not going.is_set() and stream.tell() < 2**30:
                stream.write(bytes(2**20))

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        with pytest.raises(FileError, match="was changed while it was read"):
            digest_of(path)
    finally:
        going.set()
        thread.join()
