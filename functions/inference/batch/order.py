"""The order in which repeated messages are served, one at a time: some may kill every invocation."""

from collections.abc import Collection, Sequence
from typing import TypeVar

from inference.batch.work import Settled, Work

#: An input's identifier: its message's id or, since a message may announce several, the id and a number.
Name = TypeVar("Name", str, tuple[str, int])


def serving_order(
    open_inputs: Collection[Name], receives: int, settled: Collection[str]
) -> tuple[list[Name], list[Name]]:
    """The inputs to serve, in this order, and those to send back untried.

    The direction alternates with every receive. So the first open input in the direction of a killed invocation is the
    one that it had reached. Each receive after the second adds one such suspect, alternately from either end, and
    suspects are served last. If a message comes again although all its inputs have results, the previous invocation was
    killed. Then suspects are sent back untried, so that this invocation returns and the messages of the other inputs
    are deleted.

    Args:
        open_inputs: those without a result.
        receives: how often their messages were received, including this time.
        settled: the messages that were received with them although all their inputs have results.

    Example: four messages of one input each come together, and b and c kill every invocation that serves them. The
    first time, all are fresh and served as one batch: the invocation is killed, and no result is written.

    The second time, a is answered, then b kills the invocation.

    >>> serving_order("abcd", receives=2, settled="")
    (['a', 'b', 'c', 'd'], [])

    The third time, d is answered, then c kills it. The suspect is b, which the second invocation had reached.

    >>> serving_order("bcd", receives=3, settled="a")
    (['d', 'c'], ['b'])

    The fourth time, both are suspects. Nothing else is open, so it returns, and a and d are deleted from the queue.

    >>> serving_order("bc", receives=4, settled="ad")
    ([], ['b', 'c'])

    From the fifth time on, b and c come alone, and b kills it: they take no other to the dead-letter queue.

    >>> serving_order("bc", receives=5, settled="")
    (['b', 'c'], [])
    >>> serving_order("bc", receives=6, settled="")
    (['b', 'c'], [])
    """
    order = sorted(open_inputs)
    suspects = [order.pop(-(earlier % 2)) for earlier in range(2, min(receives, len(order) + 2))]
    if receives % 2:
        order.reverse()
    return (order, suspects) if settled else (order + suspects, [])


def isolated(works: Sequence[Work]) -> list[Work]:
    """The order for inputs that can harm only themselves, but still cost the others time.

    Those with the fewest attempts left come first. The direction alternates, so that inputs that hang do not always
    leave the same ones without time.
    """
    receives = max((work.receives for work in works), default=0)
    return sorted(works if receives % 2 else reversed(works), key=lambda work: -work.receives)


def arrange(works: Sequence[Work]) -> tuple[list[Work], list[Work]]:
    """`serving_order` for inputs whose results were looked up; an input whose look-up failed is in neither list."""
    open_works = {(work.message_id, place): work for place, work in enumerate(works) if work.ending is None}
    receives = max((work.receives for work in works), default=0)
    unsettled = {work.message_id for work in works if not isinstance(work.ending, Settled)}
    order, untried = serving_order(open_works, receives, {work.message_id for work in works} - unsettled)
    return [open_works[name] for name in order], [open_works[name] for name in untried]
