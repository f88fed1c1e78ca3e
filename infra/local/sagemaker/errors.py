"""What SageMaker answers when it refuses."""


class SageMakerError(Exception):
    """A refusal in the service's own words.

    Args:
        code: the error's name as clients see it, for example `ValidationException`.
        message: the service's message.
        status: HTTP status.
        members: further members of the error's body.
    """

    def __init__(self, code: str, message: str, status: int = 400, **members: object) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members


def invalid(message: str) -> SageMakerError:
    return SageMakerError("ValidationException", message)


def not_found(noun: str, arn: str) -> SageMakerError:
    return invalid(f'Could not find {noun} "{arn}".')


def already_there(noun: str, arn: str) -> SageMakerError:
    return invalid(f'Cannot create already existing {noun} "{arn}".')
