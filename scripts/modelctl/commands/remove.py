"""`modelctl remove` and `modelctl rename`: change one entry of the registry; all other lines and comments stay."""

import argparse
import re
from collections.abc import Callable

from modelctl import console
from modelctl.commands.arguments import Commands, add_model, add_registry, command, print_json
from modelctl.registry import registry_file, registry_text


def add_to(commands: Commands) -> None:
    """Describe both commands."""
    does = "take a model out of the registry; its files stay, and the next apply deletes its resources"
    parser = command(commands, "remove", remove, does, "modelctl remove digits && modelctl apply --target aws")
    add_model(parser)
    add_registry(parser)
    does = "rename a model in the registry; an apply treats that as a removal and an addition"
    parser = command(commands, "rename", rename, does, "modelctl rename digits numbers")
    parser.add_argument("model", metavar="OLD", help="the model's current name")
    parser.add_argument("new", metavar="NEW", help="the model's new name")
    add_registry(parser)


def remove(called: argparse.Namespace) -> int:
    """Say what was removed, and what the next apply does."""

    def change(text: str) -> str:
        return registry_text.remove(text, called.model)

    file = registry_file.holding(called.registry, called.model)
    failure = f"models.{called.model} cannot be removed"
    models = registry_file.write(called.registry, change, _explain(failure), file)
    says = [
        "its files stay next to the registry, and its inputs and results stay in their buckets",
        "the next apply deletes its queues, function, role, log and alarms; it refuses while the queues hold inputs",
    ]
    if called.json:
        print_json(
            {
                "registry": str(called.registry),
                "file": str(file),
                "removed": called.model,
                "models": sorted(models),
                "says": says,
            }
        )
    else:
        console.out(f"{file}: models.{called.model} is removed")
        for line in says:
            console.note(line)
    return 0


def rename(called: argparse.Namespace) -> int:
    """Say what was renamed, and what the next apply does."""

    def change(text: str) -> str:
        return registry_text.rename(text, called.model, called.new)

    failure = f"models.{called.model} cannot be renamed to {called.new}"
    file = registry_file.holding(called.registry, called.model)
    prefixes = registry_file.write(called.registry, change, _explain(failure), file)[called.new]["route"]["prefixes"]
    says = [
        f"an apply treats this as a removal and an addition: {called.new} gets its own queues, function and weights, "
        f"and the queues and the function of {called.model} are deleted",
        f"new results appear under {called.new}/ in the results bucket; existing ones stay under {called.model}/",
        f"upload under {' or '.join(prefixes)}; {called.new} does not serve the inputs that are still in the queues of "
        f"{called.model}, and an apply refuses until those are served or discarded",
    ]
    if called.json:
        renamed = {"from": called.model, "to": called.new}
        files = {"registry": str(called.registry), "file": str(file)}
        print_json({**files, "renamed": renamed, "prefixes": prefixes, "says": says})
    else:
        console.out(f"{file}: models.{called.model} is now models.{called.new}")
        for line in says:
            console.note(line)
    return 0


def _explain(failure: str) -> Callable[[str], str]:
    """A function that formats the problems that the registry would have, whose lines are not those of the file."""

    def explain(problems: str) -> str:
        says = re.sub(r"(?m)^.*?:\d+:\d+: ", "  ", problems)
        return f"{failure}: nothing was changed, since the registry would then have problems:\n{says}"

    return explain
