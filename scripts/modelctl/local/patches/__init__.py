"""Patches for what the emulator does wrong or less strictly than AWS: one module per service.

Each patch says what AWS does; `faults` makes S3 fail if a test requests it. They replace functions inside ministack, so
they fit one version of it.
"""

from modelctl.local.execution import Host
from modelctl.local.patches import (
    cloudwatch,
    ec2,
    efs,
    eventbridge,
    faults,
    functions,
    iam,
    idle,
    mappings,
    s3,
    servicequotas,
)
from modelctl.local.patches.patching import check_version


def install(host: Host) -> None:
    """Patch the emulator in this process, before it serves its first request.

    Raises:
        PatchError: the installed ministack is not the one that the patches were written for.
    """
    check_version()
    faults.install(host.layout)
    iam.install()
    s3.install()
    eventbridge.install()
    ec2.install()
    efs.install()
    functions.install(host)
    mappings.install(host.layout)
    idle.install()
    cloudwatch.install()
    servicequotas.install()
