"""What runs handlers under awslambdaric says of one that does not answer."""

from pathlib import Path

import pytest

from modelctl.errors import UserError
from modelctl.runtime_api import run_handler


def test_a_process_that_ends_is_not_waited_for_and_what_it_wrote_is_shown(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text("import os\nos.write(1, b'enough of it')\nos._exit(3)\n")
    with pytest.raises(UserError, match=r"ends\.handler answered 0 of 1 events and wrote:\nenough of it"):
        run_handler("ends.handler", [{}], {}, folder=tmp_path)


def test_the_times_of_a_run_are_in_the_order_of_what_happened(tmp_path: Path) -> None:
    (tmp_path / "adds.py").write_text(
        "print('made')\ndef handler(event, context):\n    print('called')\n    return event + 1\n"
    )
    run = run_handler("adds.handler", [1, 2], {}, folder=tmp_path)
    assert run.answers == [2, 3]
    happened = [time for pair in zip(run.asked_ms, run.answered_ms, strict=True) for time in pair]
    assert happened == sorted(happened)
    assert (run.initialisation, run.output) == ("made\n", "made\ncalled\ncalled\n")
