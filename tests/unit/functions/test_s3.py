"""S3 as the function speaks to it: obstore, and botocore for what obstore cannot do, have the same contract."""

import datetime
import gzip
import itertools
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from inference import s3
from inference.s3 import Found, Objects, Read, RefusedError, UnansweredError
from inference.s3.with_botocore import BotocoreObjects
from inference.s3.with_obstore import ObstoreObjects, is_plain
from modelctl.local import certificate
from modelctl.runtime_api import LoopbackHandler, served
from unit.functions.fake_s3 import INPUTS, RESULTS, FakeS3, denied
from unit.functions.loopback import access, error_document, served_s3

CLIENTS: tuple[type[Objects], ...] = (ObstoreObjects, BotocoreObjects)

#: What botocore does itself, and obstore leaves to botocore.
both = pytest.mark.parametrize("client", CLIENTS, ids=["obstore", "botocore"])

Speak = Callable[[str], None]


@pytest.fixture
def speak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Speak:
    """Makes clients that are made from now on speak to an endpoint, and to it alone."""

    def to(endpoint: str) -> None:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "AWS_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        for name, value in access(endpoint).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-configuration"))

    # botocore waits for seconds before it repeats a request.
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    return to


#: What S3 says of every object.
HEADERS = {"ETag": '"e"', "Last-Modified": "Fri, 15 Jan 2027 08:00:07 GMT"}


@contextmanager
def answering(answer: Callable[[LoopbackHandler], None]) -> Iterator[tuple[str, list[Message]]]:
    """A server that answers all requests in one way; gives its endpoint, and the headers of each request so far."""
    asked: list[Message] = []

    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802  (the name of the base class)
            asked.append(self.headers)
            self.sent = self.body()
            answer(self)

        do_PUT = do_GET  # noqa: N815

    with served(Handler) as address:
        yield f"http://{address}", asked


# What S3 answers


#: Status, code, message and details of an answer, and how often S3 is asked until it counts.
REFUSALS: dict[str, tuple[int, str, str, dict[str, str], int]] = {
    "missing": (404, "NoSuchKey", "The specified key does not exist.", {"Key": "digits/a & <b>.json"}, 1),
    "no version": (404, "NoSuchVersion", "The specified version does not exist.", {"VersionId": "v1"}, 1),
    "no bucket": (404, "NoSuchBucket", "The specified bucket does not exist", {"BucketName": INPUTS}, 1),
    "delete marker": (405, "MethodNotAllowed", "The specified method is not allowed", {"Method": "GET"}, 1),
    "may not list": (403, "AccessDenied", denied("s3:ListBucket"), {}, 1),
    "no reason": (403, "AccessDenied", "Access Denied", {}, 1),
    "wrong key": (403, "InvalidAccessKeyId", "The AWS Access Key Id does not exist", {"AWSAccessKeyId": "test"}, 1),
    "archived": (403, "InvalidObjectState", "The operation is not valid", {"StorageClass": "GLACIER"}, 1),
    "SSE-C": (400, "InvalidRequest", "The object was stored using a form of Server Side Encryption.", {}, 1),
    "key deleted": (400, "KMS.NotFoundException", "Key 'arn:aws:kms:us-east-1:0:key/1' does not exist", {}, 1),
    "expired": (400, "ExpiredToken", "The provided token has expired.", {"Token-0": "IQoJb3JpZ2luX2Vj"}, 1),
    "condition": (412, "PreconditionFailed", "At least one condition did not hold", {"Condition": "If-Match"}, 1),
    "throttled": (503, "SlowDown", "Please reduce your request rate.", {}, 4),
    "broken": (500, "InternalError", "We encountered an internal error.\nPlease try again.", {}, 4),
}


@both
@pytest.mark.parametrize(("status", "code", "message", "details", "asks"), REFUSALS.values(), ids=REFUSALS)
def test_what_s3_says_is_what_is_raised(
    status: int, code: str, message: str, details: dict[str, str], asks: int, client: type[Objects], speak: Speak
) -> None:
    body = error_document(code, message, **details)
    with answering(lambda request: request.answer(status, body, {"Content-Type": "application/xml"})) as (
        endpoint,
        asked,
    ):
        speak(endpoint)
        objects = client()
        calls: tuple[Callable[[], object], ...] = (
            lambda: objects.read(Read(INPUTS, "digits/a & <b>.json", 100)),
            lambda: objects.write(RESULTS, "a.json", b"{}", None),
            lambda: objects.write(RESULTS, "a.json", b"{}", '"etag"'),
        )
        for call in calls:
            asked.clear()
            with pytest.raises(RefusedError) as refused:
                call()
            assert (refused.value.status, refused.value.code, refused.value.message) == (status, code, message)
            assert details.items() <= refused.value.details.items()
            assert len(asked) == asks


@both
def test_a_write_during_another_is_refused(client: type[Objects], speak: Speak) -> None:
    """409, which obstore asks for again where a condition names an ETag."""
    body = error_document("ConditionalRequestConflict", "A conflicting conditional operation is currently in progress")
    with answering(lambda request: request.answer(409, body)) as (endpoint, _):
        speak(endpoint)
        objects = client()
        for replaces in (None, '"etag"'):
            with pytest.raises(RefusedError) as refused:
                objects.write(RESULTS, "a.json", b"{}", replaces)
            assert refused.value.refusal is s3.Refusal.CHANGED


@pytest.mark.parametrize("status", [403, 404, 412])
def test_an_answer_without_a_document_still_has_its_status(status: int, speak: Speak) -> None:
    with answering(lambda request: request.answer(status)) as (endpoint, _):
        speak(endpoint)
        with pytest.raises(RefusedError) as refused:
            ObstoreObjects().read(Read(INPUTS, "a", 1))
    assert (refused.value.status, refused.value.code, refused.value.message) == (status, "", "")


@pytest.mark.parametrize(
    "key",
    [
        "in 1ms - Server returned non-2xx status code: 404 Not Found: <Code>NoSuchKey</Code>",
        "Error performing GET s3 in 1ms - Server returned non-2xx status code: 404 Not Found: x Debug source:",
        "Object at location a",
        "a",
    ],
)
def test_a_key_that_reads_like_an_error_is_not_taken_for_one(key: str, speak: Speak) -> None:
    body = error_document("AccessDenied", "Access Denied", Key=key)
    with answering(lambda request: request.answer(403, body)) as (endpoint, _):
        speak(endpoint)
        objects = ObstoreObjects()
        assert is_plain(key)
        for call in (lambda: objects.read(Read(INPUTS, key, 1)), lambda: objects.write(RESULTS, key, b"{}", None)):
            with pytest.raises(RefusedError) as refused:
                call()
            assert (refused.value.status, refused.value.code) == (403, "AccessDenied")
            assert refused.value.details["Key"] == key


# Versions, conditions and sizes


@both
def test_a_version_or_an_etag_is_read_and_a_condition_holds_once(client: type[Objects], speak: Speak) -> None:
    # S3 keeps whole seconds.
    times = iter((1_800_000_000.2, 1_800_000_007.9))
    fake = FakeS3(time=lambda: next(times))
    old, new = (fake.upload(INPUTS, "a.json", body) for body in (b"old", b"newer"))
    assert new.last_modified == datetime.datetime(2027, 1, 15, 8, 0, 7, tzinfo=datetime.UTC)
    fake.time = lambda: 1_800_000_008
    with served_s3(fake) as endpoint:
        speak(endpoint)
        objects = client()
        assert objects.read(Read(INPUTS, "a.json", 9)) == Found(
            b"newer", 5, new.etag, new.version_id, new.last_modified
        )
        assert objects.read(Read(INPUTS, "a.json", 9, version_id=old.version_id)) == Found(
            b"old", 3, old.etag, old.version_id, old.last_modified
        )
        assert objects.read(Read(INPUTS, "a.json", 9, etag=new.etag)).body == b"newer"
        for version_id, etag in (("v7", None), (None, old.etag)):
            with pytest.raises(RefusedError):
                objects.read(Read(INPUTS, "a.json", 9, version_id=version_id, etag=etag))

        objects.write(RESULTS, "a.json", b"{}", None)
        written = fake.current(RESULTS, "a.json")
        assert written is not None
        assert (written.body, written.content_type) == (b"{}", "application/json")
        for replaces in (None, old.etag):
            with pytest.raises(RefusedError) as refused:
                objects.write(RESULTS, "a.json", b"[]", replaces)
            assert refused.value.refusal is s3.Refusal.CHANGED
        with pytest.raises(RefusedError) as refused:
            objects.write(RESULTS, "b.json", b"[]", old.etag)
        assert refused.value.refusal is s3.Refusal.MISSING
        objects.write(RESULTS, "a.json", b"[]", written.etag)
    assert [stored.body for stored in fake.objects[RESULTS, "a.json"]] == [b"{}", b"[]"]


@both
def test_a_write_that_is_not_announced_has_another_reason_and_the_same_condition(
    client: type[Objects], speak: Speak
) -> None:
    fake = FakeS3()
    with served_s3(fake) as endpoint:
        speak(endpoint)
        objects = client()
        first = objects.write_unannounced(RESULTS, "a b.json", b"{}", None)
        for replaces in (None, '"another"'):
            with pytest.raises(RefusedError) as refused:
                objects.write_unannounced(RESULTS, "a b.json", b"[]", replaces)
            assert refused.value.refusal is s3.Refusal.CHANGED
        second = objects.write_unannounced(RESULTS, "a b.json", b"[1]", first)
        objects.write(RESULTS, "a b.json", b"[2]", second)
    assert [(stored.body, stored.content_type, stored.reason) for stored in fake.objects[RESULTS, "a b.json"]] == [
        (b"{}", "application/json", "CompleteMultipartUpload"),
        (b"[1]", "application/json", "CompleteMultipartUpload"),
        (b"[2]", "application/json", "PutObject"),
    ]


@both
@pytest.mark.parametrize("encoding", ["gzip", "aws-chunked,gzip"])
def test_a_content_encoding_is_told_and_not_undone(encoding: str, client: type[Objects], speak: Speak) -> None:
    fake = FakeS3()
    body = gzip.compress(b"x")
    stored = fake.upload(INPUTS, "a", body, content_encoding=encoding)
    with served_s3(fake) as endpoint:
        speak(endpoint)
        found = Found(body, len(body), stored.etag, stored.version_id, stored.last_modified, encoding)
        assert client().read(Read(INPUTS, "a", 99)) == found


@both
def test_an_object_without_versions_has_none(client: type[Objects], speak: Speak) -> None:
    with answering(lambda request: request.answer(200, b"x", HEADERS)) as (endpoint, _):
        speak(endpoint)
        last_modified = datetime.datetime(2027, 1, 15, 8, 0, 7, tzinfo=datetime.UTC)
        assert client().read(Read(INPUTS, "a", 1)) == Found(b"x", 1, '"e"', None, last_modified)


LARGE = 64 * 2**20


@both
@pytest.mark.parametrize(("most", "cut", "taken"), [(LARGE - 1, False, 0), (2**14, True, 2**14), (LARGE, True, LARGE)])
def test_of_a_larger_object_only_what_is_asked_for_is_sent(
    most: int, cut: bool, taken: int, client: type[Objects], speak: Speak
) -> None:
    sent = []

    def answer(request: LoopbackHandler) -> None:
        request.answer(200, b"", HEADERS | {"Content-Length": str(LARGE)})
        for _ in range(LARGE // 2**20):
            request.wfile.write(b"x" * 2**20)
            sent.append(2**20)

    with answering(answer) as (endpoint, _):
        speak(endpoint)
        found = client().read(Read(INPUTS, "a", most, cut=cut))
    assert (found.size, found.body == b"x" * taken) == (LARGE, True)
    # What the sockets hold may have been sent before the connection was closed.
    assert sum(sent) == LARGE if taken == LARGE else sum(sent) < LARGE / 4


@both
def test_an_object_of_any_size_is_read(client: type[Objects], speak: Speak) -> None:
    fake = FakeS3()
    with served_s3(fake) as endpoint:
        speak(endpoint)
        objects = client()
        for size in (0, 1, 2**14 - 1, 2**14, 2**14 + 1):
            stored = fake.upload(INPUTS, "a", b"x" * size)
            for cut in (False, True):
                assert objects.read(Read(INPUTS, "a", 2**15, cut=cut)) == Found(
                    stored.body, size, stored.etag, stored.version_id, stored.last_modified
                )


# Keys


KEYS = st.lists(
    st.sampled_from(
        ["/", "//", ".", "..", "~", "%", "%2F", "+", " ", "?", "#", "&", "\\", "\n", "\x7f", "é", "e\u0301"]
    )
    | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3),
    min_size=1,
    max_size=8,
).map("".join)


@pytest.fixture(scope="module")
def keyed() -> Iterator[tuple[FakeS3, str]]:
    """A served S3 for many keys."""
    fake = FakeS3()
    with served_s3(fake) as endpoint:
        yield fake, endpoint


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=KEYS.filter(lambda key: is_plain(key)))
@example(key="digits/7 of 9+%2B.png")
@example(key="...")
@example(key="digits/.../a..")
def test_a_plain_key_reaches_s3_as_it_is(key: str, keyed: tuple[FakeS3, str], speak: Speak) -> None:
    fake, endpoint = keyed
    speak(endpoint)
    fake.objects.clear()
    ObstoreObjects().write(RESULTS, key, b"{}", None)
    assert set(fake.objects) == {(RESULTS, key)}
    assert ObstoreObjects().read(Read(RESULTS, key, 2)).body == b"{}"


@pytest.mark.parametrize(
    "key", ["/a", "a/", "a//b", "a/./b", "a/../b", ".", "..", "a\nb", "a\x7f", "\x1f/a", "/", "digits/"]
)
def test_any_other_key_reaches_s3_as_it_is_too(key: str, keyed: tuple[FakeS3, str], speak: Speak) -> None:
    fake, endpoint = keyed
    speak(endpoint)
    fake.objects.clear()
    assert not is_plain(key)
    ObstoreObjects().write(RESULTS, key, b"{}", None)
    assert set(fake.objects) == {(RESULTS, key)}
    assert ObstoreObjects().read(Read(RESULTS, key, 2)).body == b"{}"


# Connections


@both
def test_a_body_that_breaks_off_is_read_to_its_end(client: type[Objects], speak: Speak) -> None:
    body = bytes(range(256)) * 2**10
    tries = itertools.count()

    def answer(request: LoopbackHandler) -> None:
        start = int((request.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        headers = HEADERS | {"Content-Length": str(len(body) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        request.answer(206 if start else 200, b"", headers)
        if next(tries) < 2:
            request.wfile.write(body[start : start + 1000])
            request.wfile.flush()
            request.connection.shutdown(2)
            request.close_connection = True
        else:
            request.wfile.write(body[start:])

    with answering(answer) as (endpoint, asked):
        speak(endpoint)
        assert client().read(Read(INPUTS, "a", len(body))).body == body
    assert len(asked) == 3


def break_off(request: LoopbackHandler) -> None:
    request.answer(200, b"xyz", HEADERS | {"Content-Length": "1000"})
    request.connection.shutdown(2)
    request.close_connection = True


def hang_up(request: LoopbackHandler) -> None:
    request.connection.shutdown(2)
    request.close_connection = True


@both
@pytest.mark.parametrize("answer", [break_off, hang_up])
def test_s3_that_never_answers_to_the_end_is_told_from_one_that_refuses(
    answer: Callable[[LoopbackHandler], None], client: type[Objects], speak: Speak
) -> None:
    with answering(answer) as (endpoint, asked):
        speak(endpoint)
        with pytest.raises(UnansweredError):
            client().read(Read(INPUTS, "a", 1000))
    assert len(asked) > 1


@both
def test_a_write_over_a_connection_that_s3_has_closed_is_repeated(client: type[Objects], speak: Speak) -> None:
    """As after Lambda had frozen the function, with its connections in the pool."""
    tries = itertools.count(1)

    def answer(request: LoopbackHandler) -> None:
        if next(tries) == 2:
            hang_up(request)
        else:
            request.answer(200, b"", HEADERS)

    with answering(answer) as (endpoint, asked):
        speak(endpoint)
        objects = client()
        objects.write(RESULTS, "a.json", b"{}", None)
        objects.write(RESULTS, "b.json", b"{}", None)
    assert len(asked) == 3


@both
def test_a_lost_answer_to_a_write_ends_in_its_own_condition(client: type[Objects], speak: Speak) -> None:
    fake = FakeS3()
    tries = itertools.count(1)

    def answer(request: LoopbackHandler) -> None:
        body = request.sent  # type: ignore[attr-defined]
        if next(tries) == 1:
            fake.write(RESULTS, "a.json", body, None)
            hang_up(request)
        else:
            request.answer(412, error_document("PreconditionFailed", "At least one condition did not hold"))

    with answering(answer) as (endpoint, _):
        speak(endpoint)
        with pytest.raises(RefusedError) as refused:
            client().write(RESULTS, "a.json", b"{}", None)
    assert refused.value.refusal is s3.Refusal.CHANGED
    assert len(fake.objects[RESULTS, "a.json"]) == 1


@both
def test_a_silent_s3_is_given_up(client: type[Objects], speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "READ_TIMEOUT_S", 0.05)
    monkeypatch.setattr(s3, "ATTEMPTS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        speak("http://{}:{}".format(*silent.getsockname()))
        objects = client()
        with pytest.raises(UnansweredError):
            objects.read(Read(INPUTS, "a", 1))
        with pytest.raises(UnansweredError):
            objects.write(RESULTS, "a.json", b"{}", None)


def test_a_large_result_may_take_longer_than_an_answer(speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    """obstore's limit for reading runs while it writes, so a body above a bound goes by botocore."""
    fake = FakeS3()
    sent_by: list[str] = []
    body = b" " * (8 * 2**20 + 1)

    def answer(request: LoopbackHandler) -> None:
        sent_by.append(request.headers["User-Agent"].split("/")[0])
        request.answer(200, b"", HEADERS)

    with answering(answer) as (endpoint, _):
        speak(endpoint)
        for size in (len(body) - 1, len(body)):
            ObstoreObjects().write(RESULTS, "a.json", body[:size], None)
    assert sent_by == ["object_store", "Botocore"]
    assert fake.gets == []


# Where S3 is, and what is trusted


@both
def test_requests_are_signed_with_the_session_of_the_environment(
    client: type[Objects], speak: Speak, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(lambda request: request.answer(200, b"x", HEADERS)) as (endpoint, asked):
        speak(endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        client().read(Read(INPUTS, "a", 1))
    (headers,) = asked
    assert headers["X-Amz-Security-Token"] == "token"
    signature = headers["Authorization"]
    assert signature.startswith("AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/")
    assert "/eu-central-1/s3/aws4_request" in signature
    assert "x-amz-security-token" in signature.split("SignedHeaders=")[1].split(",")[0].split(";")


@both
def test_the_endpoint_of_the_service_comes_before_the_general_one(
    client: type[Objects], speak: Speak, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(lambda request: request.answer(200, b"x", HEADERS)) as (endpoint, _):
        speak("http://127.0.0.1:9")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        assert client().read(Read(INPUTS, "a", 1)).body == b"x"


@pytest.mark.parametrize(
    ("region", "bucket", "host"),
    [
        ("eu-central-1", "inputs", "inputs.s3.eu-central-1.amazonaws.com:443"),
        ("us-gov-west-1", "inputs", "inputs.s3.us-gov-west-1.amazonaws.com:443"),
        ("us-east-1", "in.puts", "s3.us-east-1.amazonaws.com:443"),
        ("cn-north-1", "inputs", "inputs.s3.cn-north-1.amazonaws.com.cn:443"),
    ],
)
def test_on_aws_a_bucket_is_asked_at_the_endpoint_of_its_region_through_the_proxy(
    region: str, bucket: str, host: str, speak: Speak, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Proxy(LoopbackHandler):
        def do_CONNECT(self) -> None:  # noqa: N802  (the name of the base class)
            asked.append(self.path)
            self.answer(502)
            self.close_connection = True

    with served(Proxy) as address:
        speak("")
        for name, value in {
            "AWS_ENDPOINT_URL": None,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "HTTPS_PROXY": f"http://{address}",
        }.items():
            monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
        monkeypatch.setattr(s3, "ATTEMPTS", 1)
        with pytest.raises(UnansweredError):
            ObstoreObjects().read(Read(bucket, "a", 1))
    assert set(asked) == {host}


@both
def test_a_proxy_is_bypassed_for_hosts_without_one(
    client: type[Objects], speak: Speak, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(lambda request: request.answer(200, b"x", HEADERS)) as (endpoint, _):
        speak(endpoint)
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert client().read(Read(INPUTS, "a", 1)).body == b"x"


@contextmanager
def behind_tls(folder: Path) -> Iterator[tuple[str, Path]]:
    """An S3 with a certificate of its own; gives its endpoint and the certificate."""

    class Handler(LoopbackHandler):
        def setup(self) -> None:
            try:
                self.request = context.wrap_socket(self.request, server_side=True)
            except ssl.SSLError as error:
                raise ConnectionError from error
            super().setup()

        def do_GET(self) -> None:  # noqa: N802  (the name of the base class)
            self.answer(200, b"x", HEADERS)

    made, key = folder / "certificate.pem", folder / "key.pem"
    certificate.make(made, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    with served(Handler) as address:
        yield f"https://{address}", made


@both
@pytest.mark.parametrize("roots", ["system", "none"])
def test_a_certificate_is_trusted_if_the_environment_names_it_whatever_the_system_has(
    roots: str, client: type[Objects], speak: Speak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    if roots == "none":
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing"))
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "nothing"))
    with behind_tls(tmp_path) as (endpoint, made):
        speak(endpoint)
        with pytest.raises(UnansweredError, match=r"(?i)certificate"):
            client().read(Read(INPUTS, "a", 1))
        monkeypatch.setenv("AWS_CA_BUNDLE", str(made))
        assert client().read(Read(INPUTS, "a", 1)).body == b"x"
