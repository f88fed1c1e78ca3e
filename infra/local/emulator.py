"""MiniStack in this process: its settings, our hooks into it, and its server.

MiniStack reads its settings at import, so `configure` must run before anything imports `ministack`. The hooks lean on
its internals; `tests/journey/test_emulator_hooks.py` fails when they move, and the version is pinned.
"""

import asyncio
import functools
import json
import logging
import os
import re
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from types import ModuleType
from typing import Any

from infra.local.options import ACCOUNT, REGION, Options

SERVICES = (
    "apigateway,cloudformation,cloudwatch,dynamodb,dynamodbstreams,events,iam,kms,lambda,logs,s3,scheduler,"
    "secretsmanager,sns,sqs,ssm,states,sts,tagging,wafv2,ecr"
)
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
# The body is bytes, or what `streaming` makes.
Response = tuple[int, dict[str, str], Any]
ServiceHandler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Response]]
TaskHandler = Callable[[str, dict[str, Any]], Any]


def configure(options: Options) -> None:
    """Set the emulator's environment: loopback only, IAM enforced, state under the state folder."""
    options.temporary.mkdir(parents=True, exist_ok=True)
    os.environ.update(
        {
            **options.aws_environment(),
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(options.aws_port),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LAMBDA_EXECUTOR": "local",
            "LOG_LEVEL": "INFO",
            "MINISTACK_REGION": REGION,
            "PERSIST_STATE": "1",
            "S3_DATA_DIR": str(options.buckets),
            "S3_PERSIST": "1",
            "SERVICES": SERVICES,
            "SFN_WAIT_SCALE": str(options.wait_scale),
            "STATE_DIR": str(options.emulator_state),
            "TMPDIR": str(options.temporary),
        }
    )


def emulator_app() -> ModuleType:
    """MiniStack's application module; the first call imports it."""
    from ministack import app

    return app


def add_service(name: str, target_prefix: str, path_pattern: str, handler: ServiceHandler) -> None:
    """Make the emulator route a service's requests to a handler, under IAM like its own services."""
    from ministack.core import iam_actions, router

    router.SERVICE_PATTERNS[name] = {"target_prefixes": [target_prefix], "path_patterns": [path_pattern]}
    emulator_app().SERVICE_HANDLERS[name] = handler
    iam_actions.SERVICE_TO_IAM_NAMESPACE[name] = name
    iam_actions._BOTOCORE_SERVICE_MAP[name] = [name, f"{name}-runtime"]


def streaming(run: Callable[[Send, Receive], Awaitable[None]]) -> Any:
    """The body of an answer that `run` sends in parts, by the messages of ASGI."""
    from ministack.core.responses import StreamingResponse

    return StreamingResponse(run)


def watch_service(name: str, asked: Callable[[str], None]) -> None:
    """Call `asked(name)` before each request to one of the emulator's own services."""
    handlers = emulator_app().SERVICE_HANDLERS
    handle = handlers[name]

    async def watched(*request: Any) -> Any:
        asked(name)
        return await handle(*request)

    handlers[name] = watched


def add_resource_arns(service: str, resource_arn: Callable[[str, bytes], str]) -> None:
    """Tell the IAM check which resource a request of the service is about: `(path, body) → ARN or "*"`."""
    from ministack.core import iam_actions

    original = iam_actions.extract_resource_arn

    def extract(name: str, method: str, path: str, headers: dict, body: bytes, *rest: Any) -> str:
        if name == service:
            return resource_arn(path, body)
        return original(name, method, path, headers, body, *rest)

    iam_actions.extract_resource_arn = extract


def name_deleted_alarms() -> None:
    """Authorize DeleteAlarms by the alarm it names, as AWS does; the emulator asks for every alarm."""
    from ministack.core import iam_actions

    original = iam_actions.extract_resource_arn

    def extract(name: str, method: str, path: str, headers: dict, body: bytes, *rest: Any) -> str:
        found = original(name, method, path, headers, body, *rest)
        named = re.search(rb'"AlarmNames"\s*:\s*\[\s*"([^"]+)"', body or b"") if name == "monitoring" else None
        return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{named[1].decode()}" if named else found

    iam_actions.extract_resource_arn = extract


def add_condition_keys(service: str, keys: Callable[[bytes], dict[str, Any]]) -> None:
    """Tell the IAM check the service's own condition keys of a request: `body → {key: value}`."""
    from ministack.core import iam_actions

    original = iam_actions.request_tag_context

    def context(name: str, action: str, body: bytes, *rest: Any) -> dict[str, Any]:
        found: dict[str, Any] = original(name, action, body, *rest)
        return found | keys(body) if name == service else found

    iam_actions.request_tag_context = context


def authorize_batches_as_singles() -> None:
    """Ask for `sqs:SendMessage` where a batch is sent, as AWS does: IAM knows no actions for batches."""
    from ministack.core import iam_actions

    original = iam_actions.extract_iam_action

    def extract(service: str, *rest: Any) -> str | None:
        action = original(service, *rest)
        return action.removesuffix("Batch") if action and service == "sqs" else action

    iam_actions.extract_iam_action = extract


def add_task(resource: str, handler: TaskHandler) -> None:
    """Give Step Functions a service integration, called with the resource and the evaluated arguments."""
    from ministack.services import stepfunctions

    stepfunctions._SERVICE_DISPATCH[resource] = handler


def task_failure(error: str, cause: str) -> Exception:
    """What a task handler raises so that Retry and Catch see `error` and `cause`."""
    from ministack.services import stepfunctions

    return stepfunctions._ExecutionError(error, cause)


def publish_aws_event(detail_type: str, detail: str, resources: list[str], source: str) -> None:
    """Put an event of an AWS service on the default bus; PutEvents refuses `aws.` sources from outside."""
    from ministack.services import eventbridge

    entry = {"Source": source, "DetailType": detail_type, "Detail": detail, "Resources": resources}
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def role_session(role_arn: str, session_name: str, secret: str) -> dict[str, str]:
    """Credentials of a role, as SageMaker gets them by assuming it; `secret` makes them unguessable."""
    from ministack.services import sts

    account, name = re.fullmatch(r"arn:aws:iam::(\d+):role/(.+)", role_arn).groups()  # type: ignore[union-attr]
    name = name.rsplit("/", 1)[-1]
    credentials = {
        "aws_access_key_id": f"ASIA{secret[:16].upper()}",
        "aws_secret_access_key": secret,
        "aws_session_token": secret[::-1],
    }
    sts.register_session(
        credentials["aws_access_key_id"],
        {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{session_name}",
            "UserId": f"{name}:{session_name}",
            "SecretAccessKey": credentials["aws_secret_access_key"],
            "SessionToken": credentials["aws_session_token"],
        },
    )
    return credentials


def know_account_in_conditions() -> None:
    """Let template conditions tell the account, region and partition; the emulator takes their names for values."""
    from ministack.services.cloudformation import changesets, engine, handlers, stacks

    evaluate = engine._evaluate_conditions
    known = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": "aws"}
    pseudo = {name: {"Value": value} for name, value in known.items()}

    def evaluate_all(template: dict, params: dict) -> dict:
        return evaluate(template, {**pseudo, **params})

    for module in (engine, changesets, handlers, stacks):
        if hasattr(module, "_evaluate_conditions"):
            vars(module)["_evaluate_conditions"] = evaluate_all


def add_archives() -> None:
    """Let CloudFormation make event archives: the emulator's EventBridge has them, its CloudFormation does not."""
    from ministack.services import eventbridge
    from ministack.services.cloudformation import provisioners

    def create(logical_id: str, properties: dict, stack: str) -> tuple[str, dict[str, str]]:
        name = properties.get("ArchiveName") or f"{stack}-{logical_id}"[:48]
        wish = {"ArchiveName": name, "EventSourceArn": properties["SourceArn"]}
        pattern, days = properties.get("EventPattern"), properties.get("RetentionDays", 0)
        eventbridge._create_archive({**wish, "EventPattern": json.dumps(pattern or {}), "RetentionDays": int(days)})
        return name, {"Arn": f"arn:aws:events:{REGION}:{ACCOUNT}:archive/{name}"}

    def delete(name: str, properties: dict) -> None:
        eventbridge._delete_archive({"ArchiveName": name})

    provisioners._RESOURCE_HANDLERS["AWS::Events::Archive"] = {"create": create, "delete": delete}


def name_function_errors() -> None:
    """Report a function's exception by its class, as Lambda does; the emulator calls every one Runtime.HandlerError."""
    from ministack.services import lambda_svc

    execute = lambda_svc._execute_function_warm

    def named(func: dict, event: Any, request_id: str) -> dict:
        result = execute(func, event, request_id)
        if result.get("error") and result["body"].get("errorType") == "Runtime.HandlerError":
            lines = re.findall(r"^(?:\w+\.)*(\w+)(?:: .*)?$", result.get("log", ""), re.MULTILINE)
            result["body"]["errorType"] = lines[-1] if lines else "Runtime.HandlerError"
        return result

    lambda_svc._execute_function_warm = named


def bound_functions(at_once: int) -> None:
    """Let more requests to one function than `at_once` wait for each other; the emulator starts a worker for each.

    A machine has few cores: forty workers that start together answer nobody for a minute. None of the functions here
    calls itself, so that nobody waits for its own caller; and each call has its own thread, which may wait.
    """
    from ministack.services import lambda_svc

    execute = lambda_svc._execute_function_warm
    rooms: dict[str, threading.Semaphore] = {}

    def queued(func: dict, event: Any, request_id: str) -> dict:
        name = (func.get("config") or func)["FunctionName"]
        with rooms.setdefault(name, threading.Semaphore(at_once)):
            return execute(func, event, request_id)

    lambda_svc._execute_function_warm = queued


def shield_functions_from_terminal() -> None:
    """Start function workers in sessions of their own: Ctrl-C is for the launcher, which still needs them to settle."""
    import subprocess

    from ministack.core import lambda_runtime

    class Sessions(ModuleType):
        Popen = functools.partial(subprocess.Popen, start_new_session=True)

        def __getattr__(self, name: str) -> Any:
            return getattr(subprocess, name)

    lambda_runtime.subprocess = Sessions("subprocess")


def end_functions() -> None:
    """End the function workers and let no schedule start another: nobody would answer their calls any more."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    stopping = {"errorType": "Runtime.ExitError", "errorMessage": "The local cloud is stopping."}
    vars(lambda_svc)["_execute_function_warm"] = lambda func, event, request_id: {"body": stopping, "error": True}
    lambda_runtime.reset()


def may_pass_role(headers: dict[str, str], role_arn: str, service: str) -> bool:
    """Whether the caller of the request at hand may hand this role to a service (`iam:PassRole`)."""
    from ministack.core import iam_evaluator, router

    caller = router.extract_access_key_id(headers, {})
    context = {"iam:PassedToService": service}
    return iam_evaluator.enforce(caller, "iam:PassRole", "iam", REGION, role_arn, context) is None


def running_executions() -> int:
    """How many state-machine executions have not ended."""
    from ministack.services import stepfunctions

    return sum(execution["status"] == "RUNNING" for execution in stepfunctions._executions.all_values())


def state_encoder() -> Callable[[Any], Any]:
    """`json.dumps(default=…)` for what the services keep."""
    from ministack.core import persistence

    return persistence._json_default


def state_decoder() -> Callable[[dict], Any]:
    """`json.load(object_hook=…)` for the same."""
    from ministack.core import persistence

    return persistence._json_object_hook


def use_snapshots(load: Callable[[str], dict | None], save: Callable[[], None]) -> None:
    """Read state at start and save it at the end through one snapshot instead of one file per service."""
    replaced: dict[str, Any] = {"load_state": load, "save_all": lambda services: save()}
    vars(emulator_app()).update(replaced)


async def serve(application: Any, ports: list[int], stop: asyncio.Event, ready: asyncio.Event) -> None:
    """Serve until `stop` is set; `ready` is set when every port answers."""
    from hypercorn.asyncio import serve as hypercorn_serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"127.0.0.1:{port}" for port in ports]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 2
    config.loglevel = "WARNING"
    server = asyncio.create_task(hypercorn_serve(application, config, shutdown_trigger=stop.wait))
    for port in ports:
        await _wait_for_port(port, server)
    ready.set()
    await server


async def _wait_for_port(port: int, server: asyncio.Task) -> None:
    while not server.done():
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return


def quiet_libraries(verbose: bool) -> None:
    """Send the emulator's chatter to the log only when asked for."""
    level = logging.INFO if verbose else logging.WARNING
    for name in ("ministack", "persistence", "states", "lambda", "s3", "botocore", "hypercorn.error"):
        logging.getLogger(name).setLevel(level)
