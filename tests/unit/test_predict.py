"""What `modelctl predict` says of files that it cannot upload."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from modelctl.commands.predict import _upload
from modelctl.errors import UserError


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    gone = tmp_path / "gone.png"
    with pytest.raises(UserError, match=r"gone\.png cannot be read: No such file or directory"):
        _upload(Mock(), gone, "digits/gone.png")
