"""What happened to one input: from its key to the route, the upload, the result and the queues."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from botocore.exceptions import ClientError

from inference.events import version_id
from modelctl import console, times
from modelctl.deployed import dead_letters, last_errors, logs, queues, result_heads
from modelctl.deployed.dead_letters import DeadLetter
from modelctl.deployed.deployment import Deployment, Model
from modelctl.deployed.last_errors import LastError
from modelctl.deployed.result_heads import ResultHead
from modelctl.deployed.routes import NotTaken, Routes, Taken
from modelctl.errors import UserError

#: The most versions of the key that are checked.
_MOST_VERSIONS = 1000

#: How long a message waits in a queue before SQS drops it (terraform/modules/queue/main.tf).
_RETENTION = timedelta(days=4)

#: The time within which S3 and SQS announce an upload and count its message.
_ANNOUNCED_WITHIN = timedelta(minutes=1)

#: The most pages of the log that are searched for the input.
_MOST_PAGES = 50

State = Literal[
    "no model",  # no route takes the key
    "not uploaded",
    "deleted",  # the key's current version is a delete marker
    "folder",  # the empty object that the console shows as a folder
    "answered",
    "refused",  # its result says what is wrong with it
    "given up",  # its message is a dead letter, or was
    "superseded",  # a newer version was uploaded
    "waiting",  # by inference, since receiving from the queue would use up tries
    "never announced",
    "unclear",
]


@dataclass(frozen=True)
class Upload:
    """One version of the key in the inputs bucket."""

    version_id: str | None
    when: datetime
    etag: str | None = None
    #: Bytes; None: a delete marker.
    size: int | None = None


@dataclass(frozen=True)
class Verdict:
    """What happened to a version, and what to do about it."""

    state: State
    says: str
    next: str = ""
    dead_letter: DeadLetter | None = None
    error: LastError | None = None


@dataclass(frozen=True)
class Explanation:
    """Everything that is known about a key."""

    key: str
    route: Taken | NotTaken
    #: What announces the key to the model's queue; a sentence.
    way: str
    #: Newest first.
    uploads: list[Upload]
    #: The version in question.
    upload: Upload | None
    result: ResultHead | None
    live_digest: str | None
    verdict: Verdict


def key_of(deployed: Deployment, named: str) -> str:
    """The key that a user named, as a key or as an address `s3://…` in the inputs bucket.

    Raises:
        UserError: it is in another bucket, or empty.
    """
    if not named.startswith("s3://"):
        key = named
    else:
        bucket, _, key = named.removeprefix("s3://").partition("/")
        if bucket == deployed.results:
            raise UserError(
                f"{named} is a result: name the input, whose key is the part between `<model>/` and `.json`"
            )
        if bucket != deployed.inputs:
            raise UserError(f"{named} is not in the inputs bucket, which is {deployed.inputs}")
    if not key:
        raise UserError("the key is empty: name an object of the inputs bucket, such as digits/7.png")
    return key


def explain(deployed: Deployment, key: str, version: str | None = None) -> Explanation:
    """Find out what happened to an input; nothing is received from its queue, since that would use up its tries.

    Args:
        deployed: where.
        key: a key in the inputs bucket.
        version: a version of the key; None: the current one.

    Raises:
        UserError: the key has no such version.
    """
    route = Routes(deployed.models.values()).find(key)
    uploads = _uploads(deployed, key)
    upload = uploads[0] if uploads else None
    if version is not None:
        upload = next((one for one in uploads if one.version_id == version_id(version)), None)
        if upload is None:
            raise UserError(f"{key} has no version {version}: `modelctl explain --json` lists its versions")
    if isinstance(route, NotTaken):
        verdict = _not_taken(deployed, route, upload)
        return Explanation(key, route, "nothing announces it", uploads, upload, None, None, verdict)
    model = route.model
    result = result_heads.read(deployed, model, key)
    way, announced = _way(deployed, route)
    live = deployed.live_digest(model)
    if upload is None:
        verdict = Verdict("not uploaded", f"not uploaded: {deployed.inputs} has no such object", f"upload it as {key}")
    elif upload.size is None:
        verdict = Verdict("deleted", f"deleted at {times.shown(upload.when)}, and no longer served")
    elif key.endswith("/") and not upload.size:
        verdict = Verdict("folder", "the empty object that the S3 console shows as a folder; it is not served")
    else:
        verdict = _verdict(deployed, model, key, uploads[0], upload, result, live, announced=announced)
    return Explanation(key, route, way, uploads, upload, result, live, verdict)


def _uploads(deployed: Deployment, key: str) -> list[Upload]:
    # The key itself is listed before all other keys that begin with it.
    page = deployed.s3.list_object_versions(Bucket=deployed.inputs, Prefix=key, MaxKeys=_MOST_VERSIONS)
    found = [
        (
            one["IsLatest"],
            Upload(version_id(one["VersionId"]), one["LastModified"], one["ETag"].strip('"'), one["Size"]),
        )
        for one in page.get("Versions", ())
        if one["Key"] == key
    ]
    found += [
        (one["IsLatest"], Upload(version_id(one["VersionId"]), one["LastModified"]))
        for one in page.get("DeleteMarkers", ())
        if one["Key"] == key
    ]
    return [upload for _, upload in sorted(found, key=lambda one: (one[0], one[1].when), reverse=True)]


def _not_taken(deployed: Deployment, route: NotTaken, upload: Upload | None) -> Verdict:
    there = "" if upload is None else f"; it stays in {deployed.inputs} and is not served"
    upload_as = f"upload it as {route.instead}" if route.instead else ""
    return Verdict("no model", f"no model takes it{there}", upload_as or "upload it under a prefix of a model")


def _way(deployed: Deployment, route: Taken) -> tuple[str, bool | None]:
    """What announces the route's keys, as a sentence, and whether anything does; None: no permission to read that."""
    queue = route.model.queue_url.rpartition("/")[2]
    try:
        found = deployed.s3.get_bucket_notification_configuration(Bucket=deployed.inputs)
    except ClientError as problem:
        if problem.response["Error"]["Code"] != "AccessDenied":
            raise
        return (
            f"the inputs bucket should announce it to the queue {queue}; this was not checked, because "
            "s3:GetBucketNotification is denied",
            None,
        )
    ways = []
    for entry in found.get("QueueConfigurations", ()):
        rules = entry.get("Filter", {}).get("Key", {}).get("FilterRules", ())
        named = {rule["Name"].lower(): rule["Value"] for rule in rules}
        leads_here = entry["QueueArn"].rpartition(":")[2] == queue
        if leads_here and (named.get("prefix"), named.get("suffix")) == (route.prefix, route.suffix):
            ways.append(f"the bucket's notification {entry.get('Id', '')}")
    # The rule has the name of the queue, and no suffix: the function skips other suffixes.
    if deployed.event_way != "notification" and "EventBridgeConfiguration" in found:
        ways.append(f"the EventBridge rule {queue}")
    if not ways:
        return f"the inputs bucket does not announce such keys to the queue {queue}", False
    return f"{' and '.join(ways)} {'sends' if len(ways) == 1 else 'send'} it to the queue {queue}", True


def _verdict(
    deployed: Deployment,
    model: Model,
    key: str,
    current: Upload,
    upload: Upload,
    result: ResultHead | None,
    live: str | None,
    *,
    announced: bool | None,
) -> Verdict:
    if result is not None and result.is_of(upload.version_id, upload.etag):
        if not result.provisional:
            return _ended(model, key, result, live)
        return _given_up(deployed, model, key, upload, result) or _last_attempt(deployed, model, key, result)
    if upload is not current:
        says = f"superseded: a newer version was uploaded at {times.shown(current.when)}"
        if result is not None and result.is_of(current.version_id, current.etag):
            says += ", and the result is for that version"
        return Verdict("superseded", says, f"`modelctl explain {shlex.quote(key)}` shows what became of the newer one")
    return _given_up(deployed, model, key, upload, None) or _without_result(
        deployed, model, key, upload, announced=announced
    )


def _ended(model: Model, key: str, result: ResultHead, live: str | None) -> Verdict:
    by = f"by version {result.version}, digest {str(result.digest)[:8]}"
    is_live = "which is live" if result.digest == live else f"but {live[:8] if live else 'nothing'} is live now"
    when = f"{times.shown(result.written)} {by}, {is_live}"
    again = (
        ""
        if result.digest == live
        else f"`modelctl backfill {model.name} --stale --prefix {shlex.quote(key)}` queues it again"
    )
    if result.error is None:
        return Verdict("answered", f"answered {when}", again)
    fix = "the input is at fault: upload a corrected one under the same key"
    return Verdict("refused", f"refused {when}: {result.error['type']}: {result.error['message']}", again or fix)


def _given_up(
    deployed: Deployment, model: Model, key: str, upload: Upload, result: ResultHead | None
) -> Verdict | None:
    """The verdict if the message of this version is in the dead-letter queue."""
    letters, _ = dead_letters.look(deployed, model, frozenset([key]))
    for letter in letters:
        if any(one.key == key and upload.version_id in (None, one.version_id) for one in letter.uploads):
            error = (
                LastError(result.error["type"], result.error["message"], "result")
                if result is not None and result.error
                else last_errors.find(deployed, model, [letter])[letter.message_id]
            )
            queue = model.dead_letter_queue_url.rpartition("/")[2]
            tries = letter.tries(model)
            times_tried = "1 try" if tries == 1 else f"{tries} tries"
            return Verdict(
                "given up",
                f"given up after {times_tried}, and its message is in the dead-letter queue {queue}: {error.type}: "
                f"{error.message}",
                f"fix the cause, then `modelctl redrive {model.name} --key {shlex.quote(key)}`",
                letter,
                error,
            )
    return None


def _hidden(deployed: Deployment, model: Model) -> Verdict | None:
    """The verdict if dead letters are currently hidden from everybody; None: none are."""
    hidden = queues.depth(deployed.sqs, model.dead_letter_queue_url)[1]
    if not hidden:
        return None
    return Verdict(
        "unclear",
        f"unclear: {console.counted(hidden, 'dead letter')} of {model.name} cannot be read, because somebody else "
        "is reading them or putting them back; the input may be among them",
        "look again in two minutes",
    )


def _last_attempt(deployed: Deployment, model: Model, key: str, result: ResultHead) -> Verdict:
    """The verdict for a provisional result whose message is not in the dead-letter queue."""
    error = LastError(**(result.error or {"type": "", "message": ""}), source="result")
    dead_at = result.written + timedelta(seconds=model.visibility_timeout_s)
    if times.present() < dead_at:
        return Verdict(
            "waiting",
            f"its last attempt began at {times.shown(result.written)}: unless it succeeds, its message becomes a dead "
            f"letter after {times.shown(dead_at)}; so far its result is {error.type}: {error.message}",
            f"`modelctl logs {model.name}` shows the attempt",
            error=error,
        )
    if hidden := _hidden(deployed, model):
        return replace(hidden, error=error)
    return Verdict(
        "given up",
        f"given up at {times.shown(result.written)}, and its message has left the dead-letter queue (it was put "
        f"back, discarded, or was older than 14 days): {error.type}: {error.message}",
        f"fix the cause, then `modelctl backfill {model.name} --prefix {shlex.quote(key)}`",
        error=error,
    )


def _without_result(deployed: Deployment, model: Model, key: str, upload: Upload, *, announced: bool | None) -> Verdict:
    """The verdict for an input without a result or a dead letter: it can only be inferred."""
    age = times.present() - upload.when
    waiting, in_flight = queues.depth(deployed.sqs, model.queue_url)
    if (waiting or in_flight) and age < _RETENTION:
        return Verdict(
            "waiting",
            f"probably waiting or being served: the queue of {model.name} has {console.counted(waiting, 'message')} "
            f"waiting, and {in_flight:,} being served or waiting {model.visibility_timeout_s} s for the next try",
            f"`modelctl status` shows whether the queue gets shorter, and `modelctl logs {model.name}` what fails",
        )
    backfill = f"`modelctl backfill {model.name} --prefix {shlex.quote(key)}` queues it"
    if hidden := _hidden(deployed, model):
        return hidden
    if announced is False:
        return Verdict(
            "never announced",
            "never announced: the inputs bucket does not announce such keys",
            f"apply, so that uploads are announced; {backfill}",
        )
    if age < _ANNOUNCED_WITHIN:
        return Verdict("waiting", f"uploaded {times.ago(upload.when)} ago: S3 may take some seconds to announce it")
    if word := _logged(deployed, model, key, upload):
        return Verdict(
            "unclear",
            f"unclear: the function received it (see its log at {word}), but it has neither a result nor a message",
            f"look again in a minute, since SQS's counts are approximate; if nothing has changed, {backfill}",
        )
    return Verdict(
        "never announced",
        "never announced: it has no message, dead letter, result or line in the log. Either it was uploaded before "
        "its route was active, which takes up to five minutes after an apply, or its message was discarded",
        backfill,
    )


def _logged(deployed: Deployment, model: Model, key: str, upload: Upload) -> str | None:
    """When the function's log last names the version of the input; None: not in the part that was read."""
    quoted = json.dumps(key, ensure_ascii=False)
    found = None
    for when, line in logs.lines(deployed, model, upload.when, f"{{ $.key = {quoted} }}", _MOST_PAGES):
        if line.get("key") == key and line.get("version_id", upload.version_id) == upload.version_id:
            found = times.shown(when)
    return found


def described(explanation: Explanation) -> Mapping[str, object]:
    """An explanation as a document."""
    route, result, verdict = explanation.route, explanation.result, explanation.verdict
    if isinstance(route, Taken):
        model: str | None = route.model.name
        taken: Mapping[str, object] = {"prefix": route.prefix, "suffix": route.suffix, "why": route.why}
    else:
        model = None
        nearest = route.nearest.name if route.nearest else None
        taken = {"why": route.why, "nearest": nearest, "instead": route.instead}
    upload = explanation.upload
    letter, error = verdict.dead_letter, verdict.error
    return {
        "key": explanation.key,
        "model": model,
        "route": taken,
        "way": explanation.way,
        "version": None if upload is None else _version(upload),
        "versions": [_version(one) for one in explanation.uploads],
        "state": verdict.state,
        "says": verdict.says,
        "next": verdict.next or None,
        "live_digest": explanation.live_digest,
        "result": None if result is None else _result(result, upload),
        "dead_letter": None if letter is None else letter.described(),
        "error": None if error is None else {"type": error.type, "message": error.message, "source": error.source},
    }


def _version(upload: Upload) -> Mapping[str, object]:
    return {
        "version_id": upload.version_id,
        "uploaded": times.iso(upload.when),
        "size": upload.size,
        "deleted": upload.size is None,
    }


def _result(result: ResultHead, upload: Upload | None) -> Mapping[str, object]:
    return {
        "of_this_version": upload is not None and result.is_of(upload.version_id, upload.etag),
        "version_id": result.uploaded.version_id if result.uploaded else None,
        "written": times.iso(result.written),
        "version": result.version,
        "digest": result.digest,
        "provisional": result.provisional,
        "error": result.error,
    }
