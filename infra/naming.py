"""Physical names, where a resource has to have one before it exists."""

from aws_cdk import Stack
from constructs import Construct


def physical_name(scope: Construct, name: str) -> str:
    """`<stack>-<name>`, so that two stacks live side by side in one account."""
    return f"{Stack.of(scope).stack_name.lower()}-{name}"
