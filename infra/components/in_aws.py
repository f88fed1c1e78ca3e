"""What the emulator does not know stands in the one template all the same, under a condition that its account fails."""

from aws_cdk import Aws, CfnCondition, CfnResource, Fn, Stack

# The emulator's account.
_LOCAL_ACCOUNT = "000000000000"


def only_in_aws(resource: CfnResource) -> None:
    """Make the resource in an account of AWS and not in the local cloud."""
    resource.cfn_options.condition = in_aws(Stack.of(resource))


def in_aws(stack: Stack) -> CfnCondition:
    """The stack's condition that it is in an account of AWS."""
    known = stack.node.try_find_child("InAws")
    if isinstance(known, CfnCondition):
        return known
    is_local = Fn.condition_equals(Aws.ACCOUNT_ID, _LOCAL_ACCOUNT)
    return CfnCondition(stack, "InAws", expression=Fn.condition_not(is_local))
