"""Audio files in, one memory-mapped int16 file of all their samples out, made once.

A cache is a folder ``corpus-KEY`` with ``audio.i16`` (all recordings one after another, 16 kHz,
int16, the machine's byte order) and ``index.json`` (where each one is, and which files were left
out and why). KEY is a hash of the path, size and modification time of every file, so changed data
are decoded again.

A cache is built in ``corpus-KEY.tmp`` and renamed when it is complete, under a lock that the
operating system releases when the process ends: a second process waits for the first one's result,
and the next one removes what a killed process left. One lock serves the whole folder, because two
builds at a time would only share the same cores. When a new cache is complete, that of an earlier
state of the same folder is deleted, since it can take gigabytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from ..edge.errors import DataError
from ..edge.files import lock, name_bytes
from .decode import DecodeError, decode

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""

_FORMAT = 1  # part of the key: raise it when the decoder or the layout of the cache changes
_FILES_PER_TASK = 32
_LOCK_POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFile:
    """One file to decode, as the file system shows it."""

    path: str
    """Path below the data folder, with forward slashes."""
    size_bytes: int
    mtime_ns: int
    root: Path | None = None
    """The folder that contains the path, if it is not that of the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Position of a decoded file in `AudioCache.audio`."""

    start: int
    length: int
    peak: int
    """Largest absolute sample value, 0 to 32768."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AudioCache:
    """All decoded files of a data folder."""

    audio: npt.NDArray[np.int16]
    """int16, shape (samples,): memory-mapped, read-only."""
    spans: dict[str, Span]
    """By path below the data folder."""
    unreadable: dict[str, str]
    """Reason by path, for the files that could not be decoded."""
    fingerprint: str
    """SHA-256 over the paths and contents of all files; the same on every machine."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    samples: npt.NDArray[np.int16] | None
    reason: str
    sha256: bytes


def default_cache_dir() -> Path:
    """Return ``$XDG_CACHE_HOME/harken``, or the system's folder for caches."""
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "harken"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "harken"
    return Path.home() / ".cache" / "harken"


def open_cache(
    root: Path, files: Sequence[AudioFile], cache_dir: Path, progress: Progress | None = None
) -> AudioCache:
    """Open the decoded audio of `files`, decoding them first if necessary.

    Parameters
    ----------
    root
        The data folder; it is only read.
    files
        The audio files below it.
    cache_dir
        Folder for caches; created if missing.
    progress
        Called with (files done, files in all) while decoding, not when the cache exists.

    Raises
    ------
    DataError
        If the cache cannot be written, for instance because the disk is full. No incomplete files
        remain.
    """
    key = _key(files)
    target = cache_dir / f"corpus-{key}"
    cache = _read(target)
    if cache is not None:
        return cache
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"the cache folder {cache_dir} cannot be made ({error.strerror}); "
            "choose another with --cache-dir"
        ) from error
    with _locked(cache_dir / "lock", lambda: progress and progress(0, len(files))):
        cache = _read(target)  # another process may have built it while this one waited
        if cache is None:
            for stale in cache_dir.glob("corpus-*.tmp"):  # left by a killed process
                shutil.rmtree(stale, ignore_errors=True)
            _build(root, files, target, progress)
            cache = _read(target)
    if cache is None:
        raise DataError(f"the cache {target} was damaged while it was written; start again")
    return cache


def _key(files: Sequence[AudioFile]) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {sys.byteorder}\n".encode())
    for file in sorted(files, key=lambda file: file.path):
        digest.update(name_bytes(f"{file.path}\0{file.size_bytes}\0{file.mtime_ns}\n"))
    return digest.hexdigest()[:16]


def _read(folder: Path) -> AudioCache | None:
    """Open a complete cache; None if there is none, or if it is damaged."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        spans: dict[str, Span] = {}
        start = 0
        for path, length, peak in index["files"]:
            spans[path] = Span(start=start, length=length, peak=peak)
            start += length
        audio_path = folder / "audio.i16"
        if audio_path.stat().st_size != 2 * start:
            return None
        audio: npt.NDArray[np.int16] = (
            np.memmap(audio_path, dtype=np.int16, mode="r") if start else np.zeros(0, np.int16)
        )
        return AudioCache(
            audio=audio,
            spans=spans,
            unreadable=dict(index["unreadable"]),
            fingerprint=index["fingerprint"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _locked(path: Path, while_waiting: Callable[[], object]) -> Iterator[None]:
    """Hold the lock of a cache folder; the system releases it however the process ends."""
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"the cache folder {path.parent} cannot be written ({error.strerror}); "
            "choose another with --cache-dir"
        ) from error
    with file:
        while not try_lock(file):
            while_waiting()
            time.sleep(_LOCK_POLL_S)
        yield


def try_lock(file: IO[str]) -> bool:
    """Take the lock of an open file, unless another process holds it; closing the file frees it."""
    try:
        lock(file.fileno())
    except (BlockingIOError, PermissionError):  # PermissionError: on Windows
        return False
    return True


def _build(root: Path, files: Sequence[AudioFile], target: Path, progress: Progress | None) -> None:
    temporary = target.with_suffix(".tmp")
    done_bytes = 0
    decoded_bytes = 0
    index: list[tuple[str, int, int]] = []
    unreadable: dict[str, str] = {}
    fingerprint = hashlib.sha256()
    ordered = sorted(files, key=lambda file: file.path)
    try:
        temporary.mkdir()
        with (
            (temporary / "audio.i16").open("wb") as out,
            closing(_decode_all(root, ordered)) as results,
        ):
            for number, (file, decoded) in enumerate(results, 1):
                fingerprint.update(name_bytes(file.path) + b"\0" + decoded.sha256)
                done_bytes += file.size_bytes
                if decoded.samples is None:
                    unreadable[file.path] = decoded.reason
                else:
                    decoded_bytes += decoded.samples.nbytes
                    out.write(decoded.samples.data)
                    peak = int(np.abs(decoded.samples.astype(np.int32)).max())
                    index.append((file.path, len(decoded.samples), peak))
                if progress is not None and (number % _FILES_PER_TASK == 0 or number == len(files)):
                    progress(number, len(files))
            out.flush()
            os.fsync(out.fileno())
        text = json.dumps(
            {
                "root": _place(root, files),
                "fingerprint": fingerprint.hexdigest(),
                "files": index,
                "unreadable": unreadable,
            }
        )
        (temporary / "index.json").write_text(text, encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)  # a damaged one
        temporary.rename(target)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        source_bytes = sum(file.size_bytes for file in files)
        needed_bytes = source_bytes * (decoded_bytes / done_bytes if done_bytes else 1)
        raise DataError(
            f"the decoded audio cannot be written to {target.parent} ({error.strerror}): about "
            f"{needed_bytes:,.0f} bytes are needed, {shutil.disk_usage(target.parent).free:,} are "
            "free; make room, or choose another folder with --cache-dir"
        ) from error
    except BaseException:  # Ctrl-C above all
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _remove_predecessors(target, _place(root, files))


def _place(root: Path, files: Sequence[AudioFile]) -> str:
    """Return the folders of the files: other additions make another data set."""
    others = {str(file.root.resolve()) for file in files if file.root not in (None, root)}
    return "\n".join([str(root.resolve()), *sorted(others)])


def _remove_predecessors(target: Path, root: str) -> None:
    for folder in target.parent.glob("corpus-*"):
        if folder == target or folder.suffix:
            continue
        try:
            index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            if index["root"] == root:
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not our cache, or one that its own next start repairs


def _decode_all(
    root: Path, files: Sequence[AudioFile]
) -> Generator[tuple[AudioFile, _Decoded], None, None]:
    """Decode in order on all cores; libsndfile works outside the interpreter lock."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    tasks = iter(range(0, len(files), _FILES_PER_TASK))
    pending: deque[tuple[int, Future[list[_Decoded]]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:

        def submit() -> None:
            first = next(tasks, None)
            if first is not None:
                batch = [
                    (file.root or root) / file.path
                    for file in files[first : first + _FILES_PER_TASK]
                ]
                pending.append((first, pool.submit(_decode_batch, batch)))

        try:
            for _ in range(2 * (workers or 1)):  # limits what waits in memory
                submit()
            while pending:
                first, future = pending.popleft()
                decoded = future.result()
                submit()
                yield from zip(files[first : first + _FILES_PER_TASK], decoded, strict=True)
        finally:
            for _, future in pending:
                future.cancel()


def _decode_batch(paths: Sequence[Path]) -> list[_Decoded]:
    return [_decode_one(path) for path in paths]


def _decode_one(path: Path) -> _Decoded:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        return _Decoded(decode(path), "", digest)
    except OSError as error:
        return _Decoded(None, f"unreadable: {error.strerror}", b"")
    except DecodeError as error:
        return _Decoded(None, str(error), digest)
