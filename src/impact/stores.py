"""Files at addresses such as ``s3://bucket/contacts.csv``: found, fetched to a private folder, and written.

fsspec knows the stores; a package such as s3fs speaks to each. Who may read and write is set where that
package looks for it (variables, files or roles of the computer), and never stands in an address.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from impact.errors import DataError, ImpactError, ParameterError

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
# A password, or a key in a query: abfs://container@account is neither.
_SECRET = re.compile(r"://[^@]*:[^@]*@|\?[^/]*=")
NO_SECRETS = (
    "the address holds a password or a key; take it out, and set it where the store's own package looks for "
    "it, such as a variable of the system"
)
# The extra that brings the package for a kind of store, and that package.
_EXTRAS = dict.fromkeys(("s3", "s3a"), ("s3", "s3fs")) | dict.fromkeys(
    ("abfs", "abfss", "az"), ("azure", "adlfs")
)
_FETCHED = "IMPACT_FETCHED"
# The temporary folders of processes: of what is fetched, of outputs for a store, and of warm servers.
_OURS = re.compile(r"impact-(?:data-|outputs-)?(\d+)-\w+")
_DAY = 86400


def is_address(name: object) -> bool:
    """Whether a name is an address in a store, and not a path.

    Examples
    --------
    >>> is_address("s3://bucket/people.csv"), is_address("C://people.csv"), is_address("data/people.csv")
    (True, False, False)
    """
    return bool(_ADDRESS.match(str(name)))


def has_secret(name: object) -> bool:
    """Whether an address says who may read it.

    Examples
    --------
    >>> has_secret("s3://me:key@bucket/x.csv"), has_secret("abfs://container@account/x-?.csv")
    (True, False)
    """
    return is_address(name) and bool(_SECRET.search(str(name)))


def masked(text: str) -> str:
    """Return a text without the addresses in it that hold a password or a key.

    Examples
    --------
    >>> masked("data.people=s3://me:key@bucket/x.csv")
    'data.people=s3://...'
    """
    return re.sub(r"([\w+.-]+://)\S*", lambda m: f"{m[1]}..." if has_secret(m[0]) else m[0], text)


def lacking(what: str, extra: str, package: str) -> ParameterError:
    """Return the error of something that needs a package of an extra."""
    return ParameterError(f"{what}: needs the extra [{extra}]; install it: python -m pip install {package}")


class Store:
    """The store of an address, and the place in it."""

    def __init__(self, address: str) -> None:
        if has_secret(address):
            # What it says is not repeated.
            raise ParameterError(f"{NO_SECRETS}.")
        self.address = address.rstrip("/")
        kind = address.partition("://")[0].lower()
        try:
            from fsspec.core import url_to_fs

            # What is listed once may have changed; folders of a disk are made where they are missing.
            more: dict[str, Any] = {"auto_mkdir": True} if kind in ("file", "local") else {}
            self.files, self.path = url_to_fs(self.address, use_listings_cache=False, **more)
        except ImportError as error:
            if kind in _EXTRAS or error.name:
                raise lacking(f"{kind}:// addresses", *_EXTRAS.get(kind, ("stores", "fsspec"))) from None
            raise ParameterError(f"{kind}:// addresses need another package: {error}.") from None
        except ValueError:
            raise ParameterError(f"{kind}:// is no kind of address that fsspec knows.") from None

    def find(self) -> list[str]:
        """Return the paths in the store that the address or its pattern stands for, in order."""
        with said(self.address):
            if re.search(r"[*?[]", self.path):
                return sorted(path for path in self.files.glob(self.path) if self.files.isfile(path))
            return [self.path] if self.files.isfile(self.path) else []

    def below(self, folder: str) -> dict[str, str]:
        """Return the paths of all files in a folder of the place, by their names counted from the place."""
        top = f"{self.path}/{folder}"
        with said(self.address):
            found = self.files.find(top) if self.files.exists(top) else []
            return {path[len(self.path) :].lstrip("/"): path for path in found}

    def named(self, path: str) -> str:
        """Return the address of a path in the store."""
        return str(self.files.unstrip_protocol(path))


@contextlib.contextmanager
def said(address: str) -> Iterator[None]:
    """Tell what went wrong with an address without the store's own words, which may say too much."""
    try:
        yield
    except ImpactError:
        raise
    except Exception as error:
        raise DataError(
            f"{address}: the store did not do it ({type(error).__name__}); see that the address is right and "
            "that you may read and write there."
        ) from None


def find(address: str) -> list[str]:
    """Return the addresses of the files that an address or pattern stands for, in order."""
    store = Store(address)
    return [store.named(path) for path in store.find()]


def read(address: str) -> bytes | None:
    """Return what a file holds, or None where there is none."""
    store = Store(address)
    with said(address):
        return bytes(store.files.cat_file(store.path)) if store.files.isfile(store.path) else None


class Fetched:
    """Files that this process fetched, in a folder that only its owner can open and that goes with it.

    A file is fetched again when the store says that it is another one.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._users = 0

    @property
    def folder(self) -> Path:
        """The private folder of this process, for what it fetches and for what it makes for a store."""
        with self._lock:
            if self._folder is None:
                sweep(tempfile.gettempdir())
                prefix = f"impact-data-{os.getpid()}-"
                self._folder = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
            return Path(self._folder.name)

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Keep what is fetched while it is used."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1

    def forget(self) -> None:
        """Remove what was fetched, unless it is in use."""
        with self._lock:
            if self._folder and not self._users:
                self._folder.cleanup()
                self._folder = None

    def fetch(self, address: str) -> list[Path]:
        """Return the files of an address or pattern, on this computer; an empty list where there is none."""
        # The processes of a study use what was fetched for it.
        if given := os.environ.get(_FETCHED):
            known = json.loads(Path(given).read_text(encoding="utf-8"))
            if address in known:
                return [Path(file) for file in known[address]]
        store = Store(address)
        with self._lock:
            return [self._one(store, path) for path in store.find()]

    def _one(self, store: Store, path: str) -> Path:
        with said(store.named(path)):
            mark = hashlib.sha256(f"{store.named(path)} {store.files.ukey(path)}".encode()).hexdigest()[:32]
            *folders, name = PurePosixPath(path).parts
            # DuckDB reads columns from folders such as year=2024.
            file = self.folder.joinpath("files", mark, *(part for part in folders if "=" in part), name)
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                part = file.with_name(f"{name}.part")
                store.files.get_file(path, str(part))
                os.replace(part, file)
            return file

    def handed_on(self, files: dict[str, list[Path]]) -> dict[str, str]:
        """Return the variable by which other processes use what this one fetched, while it is kept."""
        said = json.dumps({address: [str(f) for f in found] for address, found in files.items()})
        # A variable itself would not hold the names of thousands of files.
        file = self.folder / f"{hashlib.sha256(said.encode()).hexdigest()[:32]}.json"
        with self._lock:
            if not file.exists():
                file.write_text(said, encoding="utf-8")
        return {_FETCHED: str(file)}


FETCHED = Fetched()


def forget() -> None:
    """Remove what this process fetched, unless it is in use; a function that can be sent to a cluster."""
    FETCHED.forget()


def sweep(folder: str | Path) -> None:
    """Remove the temporary folders that processes which were killed long ago left in a folder."""
    import psutil

    for left in Path(folder).glob("impact-*"):
        with contextlib.suppress(OSError):
            # Days later, a process of that number in another container is not believed to be the one.
            if (
                (found := _OURS.fullmatch(left.name))
                and left.stat().st_mtime < time.time() - _DAY
                and not psutil.pid_exists(int(found[1]))
            ):
                shutil.rmtree(left, ignore_errors=True)


def bring(address: str, names: Iterable[str], to: Path) -> None:
    """Copy files or whole folders of a place to a folder on this computer; what is not there is left out."""
    store = Store(address)
    found = {there: path for name in names for there, path in store.below(name).items()}
    for there in found:
        (to / there).parent.mkdir(parents=True, exist_ok=True)
    if found:
        with said(address):
            store.files.get(list(found.values()), [str(to / there) for there in found])


def send(address: str, names: Sequence[str], folder: Path) -> None:
    """Write files of a folder to a place, by the same names."""
    store = Store(address)
    if names:
        with said(address):
            store.files.put([str(folder / name) for name in names], [f"{store.path}/{n}" for n in names])


def remove(address: str, names: Sequence[str]) -> None:
    """Remove files from a place."""
    store = Store(address)
    if names:
        with said(address):
            store.files.rm([f"{store.path}/{name}" for name in names])
