"""Messages that come again: the worked example of `serving_order`, by itself and in the function."""

import doctest
from collections.abc import Callable, Sequence
from typing import Any

from inference.batch import order
from inference.predictions import Predictions
from inference.predictor import Predictor
from inference.tensors import Instances


def test_the_worked_example_is_true() -> None:
    assert doctest.testmod(order) == (0, 5)


def test_four_messages_of_which_two_kill_every_invocation_are_served_as_in_the_worked_example(
    announce: Callable[..., dict[str, Any]], serve: Callable[..., list[str]], result: Callable[[str], Any]
) -> None:
    tried: list[str] = []

    class Killed(BaseException):
        """What stands for Lambda's end of an invocation: nothing in the function comes after it."""

    class Killing(Predictor):
        def predict_together(self, inputs: Sequence[Instances]) -> list[Predictions] | None:
            names = "".join("abcd"[int(instances.tensors["x"][0, 0])] for instances in inputs)
            tried.append(names)
            if {"b", "c"} & set(names):
                raise Killed
            return super().predict_together(inputs)

    queue = [announce(f"digits/{name}.json", b"[%d, 0, 0]" % index) for index, name in enumerate("abcd")]
    history: list[list[str]] = []
    for receives in range(1, 7):
        received = [message | {"attributes": {"ApproximateReceiveCount": str(receives)}} for message in queue]
        try:
            left = serve(received, "odds.saved_model", predictor=Killing)
            queue = [message for message in queue if message["messageId"] in left]
        except Killed:
            pass
        history.append(tried)
        tried = []
    assert history == [["abcd"], ["a", "b"], ["d", "c"], [], ["b"], ["b"]]
    results = {name: result(f"digits/{name}.json") for name in "abcd"}
    assert [name for name in "abcd" if "predictions" in results[name]] == ["a", "d"]
    assert [name for name in "abcd" if results[name].get("provisional")] == ["b", "c"]
    assert len(queue) == 2
