"""S3 through obstore, whose import, first request and processor time per request take a fraction of botocore's time.

What it cannot do is left to botocore, which is imported only then.
"""

import contextlib
import datetime
import functools
import importlib.util
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

# obstore reads it at the first request. A single thread serves all connections: one thread per processor, the default,
# would only wake each other for small requests. The registry's `env` may set another value.
os.environ.setdefault("TOKIO_WORKER_THREADS", "1")

import obstore
from obstore.store import S3Store

from inference import s3
from inference.s3 import Found, Objects, Read, RefusedError, UnansweredError

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, RetryConfig, S3Config

T = TypeVar("T")

#: The most bytes of a body that obstore sends: its time limit for reading also runs while it writes.
_MOST_SENT = 8 * 2**20

#: Prefixes of regions whose partition has another ending of its endpoints; obstore knows only one ending.
#: https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
_OTHER_PARTITIONS = ("cn-", "us-iso", "eu-iso", "eusc-")

#: S3's answer in the text of obstore's errors. It follows the key and the URL, which has no white space.
_ANSWER = re.compile(
    r"Error performing [A-Z]+ \S+ in [^\n]*? - Server returned non-2xx status code: "
    r"(?P<status>\d{3})[^:]*: (?P<document>.*)\n\nDebug source:",
    re.DOTALL,
)
_ENTITY = re.compile("&(lt|gt|quot|apos|amp);")
_ENTITIES = {"lt": "<", "gt": ">", "quot": '"', "apos": "'", "amp": "&"}
_FIELD = re.compile(r"<([\w-]+)>([^<]*)</\1>")


def is_plain(key: str) -> bool:
    """Whether obstore sends a key unchanged: it drops slashes at both ends, and refuses what a path cannot contain."""
    return not any(
        segment in ("", ".", "..") or any(character < " " or character == "\x7f" for character in segment)
        for segment in key.split("/")
    )


class ObstoreObjects:
    """Objects in S3, with the credentials, region, endpoint and certificates of the environment."""

    def __init__(self) -> None:
        self._is_elsewhere = os.environ["AWS_REGION"].startswith(_OTHER_PARTITIONS)
        self._store, self._made_botocore = functools.cache(_store), functools.cache(_botocore)
        self._makes_botocore = threading.Lock()

    def _botocore(self) -> Objects:
        # Only one thread creates it: this takes long enough for others to begin as well.
        with self._makes_botocore:
            return self._made_botocore()

    def read(self, wanted: Read) -> Found:
        """See `Objects`."""
        if self._is_elsewhere or not is_plain(wanted.key):
            return self._botocore().read(wanted)

        options: GetOptions = {}
        if wanted.version_id is not None:
            options["version"] = wanted.version_id
        if wanted.etag is not None:
            options["if_match"] = wanted.etag

        def request() -> Found:
            answer = obstore.get(self._store(wanted.bucket), wanted.key, options=options)
            meta, encoding = answer.meta, answer.attributes.get("Content-Encoding", "")
            size = meta["size"]
            # What is not read from the stream is not sent either: dropping the answer closes the connection.
            if size <= wanted.most:
                body = bytes(answer.bytes())
            else:
                body = next(iter(answer.stream(min_chunk_size=wanted.most)))[: wanted.most] if wanted.cut else b""
            return Found(body, size, meta["e_tag"] or "", meta["version"], meta["last_modified"], encoding)

        return _told(request, wanted.key)

    def write(self, bucket: str, key: str, body: bytes, replaces: str | None) -> None:
        """See `Objects`."""
        if self._is_elsewhere or not is_plain(key) or len(body) > _MOST_SENT:
            self._botocore().write(bucket, key, body, replaces)
            return

        def request() -> None:
            obstore.put(
                self._store(bucket),
                key,
                body,
                mode="create" if replaces is None else {"e_tag": replaces},
                attributes={"Content-Type": "application/json"},
                use_multipart=False,
            )

        # obstore retries temporary refusals by S3, but not a write whose connection broke. That happens to pooled
        # connections while Lambda has frozen the function. A retry is safe: the condition holds only once.
        for _ in range(s3.ATTEMPTS - 1):
            with contextlib.suppress(UnansweredError):
                _told(request, key)
                return
        _told(request, key)

    def write_unannounced(self, bucket: str, key: str, body: bytes, replaces: str | None) -> str:
        """See `Objects`; obstore has no condition for a multipart upload."""
        return self._botocore().write_unannounced(bucket, key, body, replaces)


def _botocore() -> Objects:
    from inference.s3.with_botocore import BotocoreObjects

    return BotocoreObjects()


def _store(bucket: str) -> S3Store:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options: ClientConfig = {
        "connect_timeout": datetime.timedelta(seconds=s3.CONNECT_TIMEOUT_S),
        "read_timeout": datetime.timedelta(seconds=s3.READ_TIMEOUT_S),
        # The default limit is half a minute per request, which a large object on a small function may exceed.
        "timeout": datetime.timedelta(minutes=15),
        "root_certificate": _certificates(),
        "allow_http": bool(endpoint),
    }
    retries: RetryConfig = {
        "max_retries": s3.ATTEMPTS - 1,
        "backoff": {
            "init_backoff": datetime.timedelta(milliseconds=100),
            "max_backoff": datetime.timedelta(seconds=5),
            "base": 2,
        },
    }
    access: S3Config = {
        "region": os.environ["AWS_REGION"],
        "access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        # As part of the host, a name with dots would not match S3's certificate.
        "virtual_hosted_style_request": not endpoint and "." not in bucket,
    }
    if endpoint:
        access["endpoint"] = endpoint
    if token := os.environ.get("AWS_SESSION_TOKEN"):
        access["session_token"] = token
    return S3Store(bucket, config=access, client_options=options, retry_config=retries)


def _certificates() -> bytes:
    """Root certificates to trust besides the system's: AWS_CA_BUNDLE, or botocore's, since a system may have none."""
    bundle = os.environ.get("AWS_CA_BUNDLE")
    if not bundle:
        # Finds the file without importing the package.
        found = importlib.util.find_spec("botocore")
        folders = found.submodule_search_locations if found else None
        bundle = str(Path(*folders or (), "cacert.pem"))
    return Path(bundle).read_bytes()


def _told(request: Callable[[], T], key: str) -> T:
    """Make a request, and translate obstore's errors, which have S3's answer in their text, to those of `Objects`."""
    try:
        return request()
    except (obstore.exceptions.BaseError, OSError) as error:
        text = str(error)
        # Without the key, which comes first and may contain anything.
        answer = _ANSWER.search(text.replace(key, "", 1))
        if answer is None:
            raise UnansweredError(" ".join(text.split())) from error
        fields = {
            name: _ENTITY.sub(lambda entity: _ENTITIES[entity[1]], value)
            for name, value in _FIELD.findall(answer["document"])
        }
        code, message = fields.pop("Code", ""), fields.pop("Message", "")
        raise RefusedError(int(answer["status"]), code, message, fields) from error
