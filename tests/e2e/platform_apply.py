"""The one decorator of pytest-terraform; it makes the session's fixture `terraform`, which applies terraform/."""

from pytest_terraform import terraform


@terraform("terraform", scope="session")
def applied() -> None:
    """Only carries the decorator."""
