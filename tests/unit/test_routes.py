"""Which model takes a key, and what is said of a key that none takes."""

from dataclasses import replace

import pytest

from modelctl.deployed.routes import NotTaken, Routes, Taken
from unit.deployed import model

DIGITS = model("digits/", "scans/2026/", suffixes=(".png", ".json"))
WINE = replace(model("wine/"), name="wine")
TABLES = replace(model("digits/tables/", suffixes=(".csv",)), name="tables")
ROUTES = Routes([DIGITS, WINE, TABLES])


@pytest.mark.parametrize(
    ("key", "taken", "why"),
    [
        ("digits/7.png", Taken(DIGITS, "digits/", ".png"), "the key begins with digits/ and ends with .png"),
        ("digits/a/b/7.json", Taken(DIGITS, "digits/", ".json"), "the key begins with digits/ and ends with .json"),
        (
            "scans/2026/7.png",
            Taken(DIGITS, "scans/2026/", ".png"),
            "the key begins with scans/2026/ and ends with .png",
        ),
        ("wine/no suffix", Taken(WINE, "wine/", None), "the key begins with wine/"),
        ("wine/", Taken(WINE, "wine/", None), "the key begins with wine/"),
        # Of two prefixes of which one is in the other, the suffix decides.
        (
            "digits/tables/t.csv",
            Taken(TABLES, "digits/tables/", ".csv"),
            "the key begins with digits/tables/ and ends with .csv",
        ),
        ("digits/tables/t.png", Taken(DIGITS, "digits/", ".png"), "the key begins with digits/ and ends with .png"),
    ],
)
def test_a_key_is_taken_by_prefix_and_suffix(key: str, taken: Taken, why: str) -> None:
    assert ROUTES.find(key) == taken
    assert taken.why == why
    assert taken.model.takes(key)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (
            "digits/7.PNG",
            NotTaken(
                "digits takes digits/ only with .png or .json, but the key ends with .PNG; S3 distinguishes upper and "
                "lower case",
                DIGITS,
                "digits/7.png",
            ),
        ),
        ("digits/7.bmp", NotTaken("digits takes digits/ only with .png or .json, but the key ends with .bmp", DIGITS)),
        ("digits/seven", NotTaken("digits takes digits/ only with .png or .json, but the key has no suffix", DIGITS)),
        (
            "digits/tables/t.xls",
            NotTaken("tables takes digits/tables/ only with .csv, but the key ends with .xls", TABLES),
        ),
        (
            "digits/2026/",
            NotTaken(
                "digits takes digits/ only with .png or .json, but the key ends with a slash, like a folder "
                "in the console",
                DIGITS,
            ),
        ),
        (
            "/wine/a",
            NotTaken("a prefix must be at the start of the key, but wine/ of wine comes after '/'", WINE, "wine/a"),
        ),
        (
            "new/wine/a",
            NotTaken("a prefix must be at the start of the key, but wine/ of wine comes after 'new/'", WINE, "wine/a"),
        ),
        (
            "Digits/7.png",
            NotTaken(
                "the key begins with Digits/, but digits takes digits/; S3 distinguishes upper and lower case",
                DIGITS,
                "digits/7.png",
            ),
        ),
        (
            "digts/7.png",
            NotTaken("the key begins with digts/, but digits takes digits/", DIGITS, "digits/7.png"),
        ),
        (
            "dgitis/7.bmp",
            NotTaken("the key begins with dgitis/, but digits takes digits/, only with .png or .json", DIGITS),
        ),
        (
            "scan/2026/a/7.png",
            NotTaken("the key begins with scan/2026/, but digits takes scans/2026/", DIGITS, "scans/2026/a/7.png"),
        ),
        (
            "invoices/7.png",
            NotTaken(
                "no model has a prefix like invoices/; the prefixes are digits/, digits/tables/, scans/2026/ and 1 more"
            ),
        ),
        (
            "7.png",
            NotTaken("the key is not in a folder; the prefixes are digits/, digits/tables/, scans/2026/ and 1 more"),
        ),
    ],
)
def test_a_key_that_no_model_takes_is_told_which_one_was_nearest(key: str, expected: NotTaken) -> None:
    found = ROUTES.find(key)
    assert found == expected
    assert not any(one.takes(key) for one in (DIGITS, WINE, TABLES))
    if isinstance(found, NotTaken) and found.instead:
        assert found.nearest is not None
        assert found.nearest.takes(found.instead)
