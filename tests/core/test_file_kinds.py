"""Kinds of files by their first bytes."""

import bz2
import gzip
import io
import lzma
import tarfile

import pytest

from core.file_kinds import FileKind, kind_of


def tar() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return data.getvalue()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (gzip.compress(b"a"), FileKind.GZIP),
        (bz2.compress(b"a"), FileKind.BZIP2),
        (lzma.compress(b"a"), FileKind.XZ),
        (tar(), FileKind.TAR),
        (b"\xef\xbb\xbf \n<!DOCTYPE html>", FileKind.WEB_PAGE),
        (b"<HTML>", FileKind.WEB_PAGE),
        (b"<?xml version='1.0'?><Error>", FileKind.XML),
        (b"version https://git-lfs.github.com/spec/v1\n", FileKind.GIT_LFS),
        (b"", None),
        (b"videoid,name\n", None),
        # A text whose 258th to 262nd bytes are those of a tar.
        (b"a," * 128 + b"mustard\n", None),
        (b"version,name\n", None),
    ],
)
def test_a_file_is_recognised_by_its_first_bytes(head: bytes, kind: FileKind | None) -> None:
    assert kind_of(head) is kind
