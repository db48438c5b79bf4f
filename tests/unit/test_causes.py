"""Messages of errors that have one cause, as `dead` and `errors` group them."""

import pytest

from modelctl.deployed.causes import common


@pytest.mark.parametrize(
    ("message", "keys", "expected"),
    [
        ("row 3 has 1,024 values of 2.5", [], "row … has … values of …"),
        ("KeyError: 'scores' (line 22)", [], "KeyError: … (line …)"),
        ('names "b" and "c"', [], "names … and …"),
        (
            "412 MB beside the function's own 80 MB; the model's size",
            [],
            "… MB beside the function's own … MB; the model's size",
        ),
        ("request 5f3a0c1e-1d2f-4c3b-9a8e-00000000abcd failed", [], "request … failed"),
        ("digest 0f3a9c21d4 is a facade", [], "digest … is a facade"),
        ("b/digits/1.png.gz and digits/1.png: no", ["digits/1.png", "digits/1.png.gz"], "b/… and …: no"),
        ("", [], ""),
    ],
)
def test_what_is_special_to_one_input_is_left_out(message: str, keys: list[str], expected: str) -> None:
    assert common(message, keys) == expected


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("did not finish within 29.5 s, all that was left", "did not finish within 30 s, all that was left"),
        ("took 412 MB beside the 80 MB of the function's own", "took 1203 MB beside the 81.5 MB of the function's own"),
    ],
)
def test_limits_that_differ_in_seconds_or_megabytes_only_are_one_cause(first: str, second: str) -> None:
    assert common(first, []) == common(second, [])


def test_what_stands_between_two_apostrophes_is_not_quoted() -> None:
    first, second = ("the model's weights can't be read", "the model's hooks can't be read")
    assert common(first, []) != common(second, [])
