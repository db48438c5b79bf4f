"""What the emulator gets wrong or is laxer about than AWS, mended: one module per service.

Each mend says what AWS does. They replace functions inside ministack, so they belong to one version of it.
"""

from modelctl.local.execution import Host
from modelctl.local.mends import cloudwatch, ec2, efs, functions, iam, idle, mappings, s3, servicequotas
from modelctl.local.mends.patching import check_version


def install(host: Host) -> None:
    """Mend the emulator in this process, before it serves its first request.

    Raises:
        MendError: the installed ministack is not the one that the mends were made for.
    """
    check_version()
    iam.install()
    s3.install()
    ec2.install()
    efs.install()
    functions.install(host)
    mappings.install()
    idle.install()
    cloudwatch.install()
    servicequotas.install()
