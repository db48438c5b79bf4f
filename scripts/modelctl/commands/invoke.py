"""`modelctl invoke`: the direct call of a model's function."""

import argparse

from inference.errors import DecodeError
from modelctl import console
from modelctl.commands.arguments import Commands, add_model, add_target, command, deployment
from modelctl.deployed import direct
from modelctl.errors import UserError


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "call a model directly, with a request in the format of TensorFlow Serving's REST API"
    parser = command(commands, "invoke", run, does, """modelctl invoke wine --data '{"instances": [[13.2, 2.7, …]]}'""")
    add_model(parser)
    parser.add_argument("--data", required=True, metavar="JSON", help='{"instances": […]} or {"inputs": {…}}')
    add_target(parser)


def run(called: argparse.Namespace) -> int:
    """Print the function's answer; exit status 1 if it is an error."""
    # Imported here, since it imports numpy, and all other commands would wait for that.
    from inference import tensors

    try:
        payload = called.data.encode()
        # Parse it like an upload; of two equal keys, Lambda itself would take the last.
        tensors.parse(called.data)
    except (DecodeError, UnicodeEncodeError) as problem:
        raise UserError(f'--data: {problem}; expected {{"instances": […]}} or {{"inputs": {{…}}}}') from None
    if len(payload) > direct.LARGEST_CALL:
        raise UserError(
            f"--data has {len(payload)} bytes, but a direct call takes at most {direct.LARGEST_CALL}: use "
            "`modelctl predict`"
        )
    deployed = deployment(called)
    model = deployed.model(called.model)
    with console.step(f"calling {model.name}") as update:
        response = direct.call(deployed, model, payload, update)
    console.out(console.as_json(response, indent=2 if called.json else None))
    return 1 if "error" in response else 0
