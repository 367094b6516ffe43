"""The lock of a run folder on file systems without locks."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from jaxcnn.train._errors import RunError
from jaxcnn.train._runs._lock import run_lock


@pytest.mark.parametrize("reason", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, reason: int
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with run_lock(tmp_path):
        pass
    assert f"the file system of {tmp_path} has no locks: make sure that no other process trains" in caplog.text


def test_a_file_system_that_locks_no_folders_locks_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock

    def refuse_folders(handle: int, operation: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):  # noqa: PTH112
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", refuse_folders)
    with (
        run_lock(tmp_path),
        pytest.raises(RunError, match=rf"another process \(pid {os.getpid()}\) is training into"),
        run_lock(tmp_path),
    ):
        pass
