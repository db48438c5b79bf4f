"""The command `aws` in `.venv/bin`: AWS's own, made to use AWS_ENDPOINT_URL for every service."""

import sys


def main() -> int:
    """Run AWS's command without its own addresses of some services, which override the environment's in version 1.

    They exist for an old Python; without them, the services have the addresses that boto3 knows. SQS is one of them, so
    `aws sqs list-queues` would go to AWS, even in a shell whose settings point to the local stack
    (https://github.com/aws/aws-cli/blob/develop/awscli/customizations/overridesslcommonname.py).
    """
    from awscli import clidriver
    from awscli.customizations import overridesslcommonname

    overridesslcommonname.SSL_COMMON_NAMES.clear()
    return int(clidriver.main())


if __name__ == "__main__":
    sys.exit(main())
