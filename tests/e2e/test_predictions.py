"""Registry entry, apply, upload, prediction: the main job on real parts."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import demo
from e2e.conftest import Modelctl, Platform, wait_until_empty
from modelctl import paths


def samples(model: str) -> dict[Path, list[str]]:
    """Held-out inputs with the true label of each of their records."""
    chosen = demo.samples(paths.CHECKOUT / "models" / model / "samples")
    return {sample.file: list(sample.labels) for sample in chosen}


@pytest.mark.parametrize("model", ["digits", "digits-tf", "wine"])
def test_uploads_under_a_models_prefix_are_answered_and_nine_in_ten_are_right(modelctl: Modelctl, model: str) -> None:
    true = samples(model)
    done = modelctl("predict", model, *true, "--json")
    assert done.status == 0, done.err
    results = done.document
    assert len(results) == len(true)
    answered = [[prediction["label"] for prediction in result["predictions"]] for result in results]
    pairs = [
        pair
        for answers, labels in zip(answered, true.values(), strict=True)
        for pair in zip(answers, labels, strict=True)
    ]
    assert sum(answer == label for answer, label in pairs) >= 0.9 * len(pairs)


def test_predict_of_one_file_prints_the_result_object(modelctl: Modelctl, platform: Platform) -> None:
    scan = next(iter(samples("digits")))
    result = modelctl("predict", "digits", scan, "--json").document
    deployed = platform.deployment["models"]["digits"]
    assert {name: result[name] for name in ("model", "version", "digest", "variant")} == {
        "model": "digits",
        "version": deployed["version"],
        "digest": deployed["digest"],
        "variant": "stable",
    }
    assert result["input"]["bucket"] == platform.deployment["buckets"]["inputs"]
    assert result["input"]["key"] == f"digits/{scan.name}"
    assert result["input"]["size"] == scan.stat().st_size
    assert result["input"]["version_id"]
    assert result["input"]["etag"]
    assert result["input"]["sequencer"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result["input"]["last_modified"])
    (prediction,) = result["predictions"]
    assert [prediction["label"], prediction["score"]] == prediction["top"][0]
    assert len(prediction["top"]) == 3
    assert {"fetch", "decode", "predict", "batch_size", "cold_start"} <= set(result["timing_ms"])
    assert result["request_id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*", result["finished_at"])


def test_a_second_upload_under_the_same_key_replaces_the_result(
    platform: Platform, modelctl: Modelctl, tmp_path: Path
) -> None:
    first, second = list(samples("digits"))[:2]
    upload = tmp_path / "scan.png"
    results = []
    for scan in (first, second):
        upload.write_bytes(scan.read_bytes())
        results.append(modelctl("predict", "digits", upload, "--json").document)
    assert results[0]["input"]["version_id"] != results[1]["input"]["version_id"]
    assert _stored(platform, "digits/digits/scan.png.json") == results[1]


def test_bad_inputs_get_an_error_result_at_once_and_the_good_ones_beside_them_are_answered(
    modelctl: Modelctl, platform: Platform, tmp_path: Path
) -> None:
    good = list(samples("digits"))[2:5]
    text = tmp_path / "text.png"
    text.write_text("this is no image")
    empty = tmp_path / "empty.png"
    empty.touch()
    shape = tmp_path / "shape.json"
    shape.write_text(json.dumps({"instances": [[1, 2, 3]]}))

    done = modelctl("predict", "digits", text, *good, empty, shape, "--json")

    assert done.status == 1
    by_name = {Path(result["input"]["key"]).name: result for result in done.document}
    for bad in (text, empty, shape):
        error = by_name[bad.name]["error"]
        assert "predictions" not in by_name[bad.name]
        assert error["type"]
        assert error["message"]
    for scan in good:
        assert "error" not in by_name[scan.name]
        assert by_name[scan.name]["predictions"]
    # An input's own fault is neither retried nor a dead letter.
    wait_until_empty(platform.client("sqs"), platform.queues("digits"))


def test_a_direct_call_answers_as_tensorflow_serving_does(modelctl: Modelctl) -> None:
    bottle = next(file for file in samples("wine") if file.suffix == ".json")
    done = modelctl("invoke", "wine", "--data", bottle.read_text())
    assert done.status == 0, done.err
    (scores,) = done.document["predictions"]
    assert len(scores) == 3
    assert sum(scores) == pytest.approx(1, abs=1e-5)


def test_a_direct_call_with_a_wrong_shape_says_what_was_expected(modelctl: Modelctl) -> None:
    done = modelctl("invoke", "wine", "--data", '{"instances": [[1, 2]]}')
    assert done.status == 1
    assert "13" in done.document["error"]


def _stored(platform: Platform, key: str) -> Any:
    body = platform.client("s3").get_object(Bucket=platform.deployment["buckets"]["results"], Key=key)["Body"]
    return json.loads(body.read())
