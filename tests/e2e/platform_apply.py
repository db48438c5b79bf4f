"""The one decorator of pytest-terraform; it makes the session's fixture `terraform`, which applies terraform/."""

from pytest_terraform import terraform


@terraform("terraform", scope="session")  # type: ignore[untyped-decorator]  # pytest-terraform has no types
def applied() -> None:
    """Only carries the decorator."""
