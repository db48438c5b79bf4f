"""When a converted model counts as the same, and which inputs can show it."""

from typing import Any

import numpy as np
import pytest

from inference.runtimes import Array, TensorSpec
from modelctl.errors import UserError
from modelctl.importing import inputs
from modelctl.importing.proof import check_answers, compare

Answers = list[dict[str, Array]]


def answers(*rows: Any, dtype: Any = np.float32) -> Answers:
    return [{"y": np.array([row], dtype)} for row in rows]


SCORES = answers([0.9, 0.1], [0.2, 0.8], [0.6, 0.4])


def shifted(by: float) -> Answers:
    return [{"y": (answer["y"] + np.array([by, -by])).astype(np.float32)} for answer in SCORES]


def test_the_error_is_the_largest_difference() -> None:
    (proof,) = compare(SCORES, [*SCORES[:2], *shifted(5e-5)[2:]], "none")
    assert proof.inputs == 3
    assert proof.largest_error == pytest.approx(5e-5, rel=1e-2)
    assert proof.relative_error == pytest.approx(5e-5 / 0.9, rel=1e-2)
    assert proof.allowed == pytest.approx(1e-4)
    assert proof.agreement == 1


@pytest.mark.parametrize(
    ("quantize", "within", "beyond"), [("none", 9e-5, 2e-4), ("float16", 9e-3, 2e-2), ("int8", 0.09, 0.2)]
)
def test_every_kind_of_conversion_has_its_tolerance(quantize: str, within: float, beyond: float) -> None:
    assert compare(SCORES, shifted(within), quantize)
    with pytest.raises(UserError, match=r"y differs by up to .* is allowed; give real inputs with --samples"):
        compare(SCORES, shifted(beyond), quantize)


def test_large_numbers_may_differ_by_as_large_a_share() -> None:
    prices, others = answers(1e6, 2e6), answers(1e6, 2e6 + 100)
    assert compare(prices, others, "none")[0].allowed == pytest.approx(200)


def test_small_numbers_may_not_differ_by_as_much_as_they_are_apart() -> None:
    small = answers(1e-5, 3e-5)
    with pytest.raises(UserError, match="differs by up to"):
        compare(small, answers(2e-5, 2e-5), "none")
    assert compare(small, answers(1.1e-5, 3e-5), "none")


def test_a_quantized_classifier_has_to_choose_the_same_classes() -> None:
    close = answers(*[[0.52, 0.48]] * 9, [0.0, 1.0])
    other = answers(*[[0.48, 0.52]] * 9, [0.0, 1.0])
    with pytest.raises(UserError, match=r"y is the same for 10% of the inputs, but 90% is expected; .*less than int8"):
        compare(close, other, "int8")


@pytest.mark.parametrize(
    ("quantize", "says"),
    [
        ("none", "is allowed; use `--runtime tensorflow` instead; if the difference does not matter, --accept imports"),
        ("float16", "is allowed; use `--quantize none` instead; if .* --accept imports"),
        (
            "int8",
            "is allowed; give more samples to calibrate it with, or use `--quantize float16` instead; if .* --accept",
        ),
    ],
)
def test_where_samples_were_given_the_way_out_is_another(quantize: str, says: str) -> None:
    with pytest.raises(UserError, match=f"y differs by up to 0.2, but only .* {says}"):
        compare(SCORES, shifted(0.2), quantize, real=True)


def test_what_is_accepted_is_said_and_numbers_that_are_none_are_not_accepted() -> None:
    (proof,) = compare(SCORES, shifted(0.2), "int8", accept=True)
    assert proof.accepted == "y differs by up to 0.2, but only 0.1 is allowed"
    assert compare(SCORES, shifted(0.05), "int8", accept=True)[0].accepted is None
    close, other = answers(*[[0.52, 0.48]] * 9, [0.0, 1.0]), answers(*[[0.48, 0.52]] * 9, [0.0, 1.0])
    (proof,) = compare(close, other, "int8", accept=True)
    assert proof.accepted == "y is the same for 10% of the inputs, but 90% is expected"
    with pytest.raises(UserError, match="differs by up to inf"):
        compare(SCORES, answers([np.nan, 0], [0, 1], [1, 0]), "int8", accept=True)


def test_whole_numbers_and_text_have_to_be_the_same() -> None:
    for first, second, dtype in (([1, 2], [1, 3], np.int64), ([b"a", b"b"], [b"a", b"c"], object)):
        assert compare(answers(*first, dtype=dtype), answers(*first, dtype=dtype), "none")[0].agreement == 1
        with pytest.raises(UserError, match="y is the same for 50% of the inputs"):
            compare(answers(*first, dtype=dtype), answers(*second, dtype=dtype), "none")


@pytest.mark.parametrize(
    ("converted", "says"),
    [
        (answers([np.nan, 0], [0, 1], [1, 0]), "differs by up to inf"),
        (answers([1], [0], [1]), r"y has the shape \[1, 1\] once converted, but \[1, 2\] before"),
        ([{"z": array["y"]} for array in SCORES], "lacks the output y; it has z"),
    ],
)
def test_what_cannot_be_compared_is_no_proof(converted: Answers, says: str) -> None:
    with pytest.raises(UserError, match=says):
        compare(SCORES, converted, "none")


@pytest.mark.parametrize(
    "same",
    [
        answers([0.5, 0.5]),
        answers(*[[0.001] * 1000] * 8),
        answers([250_000], [250_001]),
        answers(3, 3, dtype=np.int64),
        answers(b"no", b"no", dtype=object),
    ],
)
def test_answers_that_are_all_the_same_prove_nothing(same: Answers) -> None:
    with pytest.raises(UserError, match=r"same answer to all \d+ inputs, .*--samples"):
        check_answers(same, ["an input"] * len(same))


@pytest.mark.parametrize(
    "different",
    [
        SCORES,
        answers([1e-9, 0], [2e-9, 0]),
        answers(3, 4, dtype=np.int64),
        answers(b"no", b"yes", dtype=object),
        [{"y": np.zeros((1, 2))}, {"y": np.zeros((1, 3))}],
        [{"constant": np.ones(1), "y": np.zeros(1)}, {"constant": np.ones(1), "y": np.ones(1)}],
    ],
)
def test_answers_that_differ_in_one_output_can_prove_something(different: Answers) -> None:
    check_answers(different, ["an input"] * len(different))


def spec(*shape: int | None, dtype: Any = np.float32) -> tuple[TensorSpec]:
    return (TensorSpec("x", shape, np.dtype(dtype)),)


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float16, np.float64, np.int8, np.uint8, np.int32, np.int64, np.uint16, np.bool_, object]
)
def test_inputs_of_every_type_are_made_up_the_same_way_every_time(dtype: Any) -> None:
    first, second = inputs.made_up(spec(None, 5, dtype=dtype)), inputs.made_up(spec(None, 5, dtype=dtype))
    assert {instances.tensors["x"].dtype for instances in first} == {np.dtype(dtype)}
    assert {instances.tensors["x"].shape for instances in first} == {(1, 5)}
    assert len({str(instances.tensors["x"].tolist()) for instances in first}) > 10
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.tensors["x"], other.tensors["x"])


def test_dimensions_of_any_length_get_one() -> None:
    assert inputs.made_up(spec(None, None, 4))[0].tensors["x"].shape == (1, 16, 4)
    assert inputs.made_up(spec(None, None, None, 3))[0].tensors["x"].shape == (1, 64, 64, 3)
    assert inputs.made_up(spec(7))[0].tensors["x"].shape == (7,)
    with pytest.raises(UserError, match="the shape of x open: give inputs with --samples"):
        inputs.made_up((TensorSpec("x", None, np.dtype(np.float32)),))


def test_inputs_and_answers_are_kept_as_they_are(tmp_path: Any) -> None:
    kept: list[dict[str, Array]] = [
        {"a/b:0": np.array([[b"text\0", b""]], object), "c": np.array([[1.5]], np.float16)},
        {"a/b:0": np.array([["né", "x" * 300]], object), "c": np.array([[2.5]], np.float16)},
    ]
    inputs.save(tmp_path / "kept.npz", kept)
    first, second = inputs.load(tmp_path / "kept.npz")
    assert first["a/b:0"].tolist() == [[b"text\0", b""]]
    assert second["a/b:0"].tolist() == [["né".encode(), b"x" * 300]]
    assert second["c"].dtype == np.float16
    assert second["c"].tolist() == [[2.5]]


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        (spec(None, 96, 64, 3), {"format": "image", "size": [96, 64], "mode": "RGB"}),
        (spec(1, 8, 8, 1, dtype=np.uint8), {"format": "image", "size": [8, 8], "mode": "L"}),
        (spec(None, None, None, 4), {"format": "image", "mode": "RGBA"}),
        (spec(None, 3, 224, 200), {"format": "image", "size": [224, 200], "mode": "RGB", "layout": "NCHW"}),
        (spec(None, 96, 64, 2), None),
        (spec(None, 1, 64, 3), None),
        (spec(None, 13), None),
        (spec(8, 8, 3), None),
        (spec(None, 8, 8, 3, dtype=object), None),
        ((*spec(None, 8, 8, 3), TensorSpec("z", (None, 2), np.dtype(np.float32))), None),
    ],
)
def test_the_entry_says_of_pictures_what_the_signature_says(specs: Any, expected: dict[str, Any] | None) -> None:
    assert inputs.image_fields(specs) == expected
