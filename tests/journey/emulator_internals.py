"""Run by the emulator's interpreter: prints every internal of the emulator that a hook leans on and that has moved."""

import inspect
import json
import os
import sys
from importlib import import_module, metadata

os.environ.update(AUTH="true", PERSIST_STATE="1", SFTP_ENABLED="0", IOT_MTLS_ENABLED="0")

# Module → function → its parameters, as the hooks call or replace it.
FUNCTIONS = {
    "ministack.app": {
        "app": ["scope", "receive", "send"],
        "load_state": ["service"],
        "save_all": ["services"],
        "_build_persistence_save_dict": [],
    },
    "ministack.core.iam_actions": {
        "extract_iam_action": ["service", "method", "path", "headers", "body", "query_params"],
        "extract_resource_arn": [
            "service", "method", "path", "headers", "body", "query_params", "region", "account_id",
        ],
        "request_tag_context": ["service", "iam_action", "body", "params"],
    },
    "ministack.core.iam_evaluator": {
        "enforce": ["access_key_id", "iam_action", "service", "region", "resource_arn", "service_context"],
    },
    "ministack.core.lambda_runtime": {"reset": []},
    "ministack.core.persistence": {"_json_default": ["obj"], "_json_object_hook": ["obj"]},
    "ministack.core.router": {"extract_access_key_id": ["headers", "query_params"]},
    "ministack.services.cloudformation.engine": {"_evaluate_conditions": ["template", "params"]},
    "ministack.services.eventbridge": {
        "_put_events": ["data", "allow_aws_source"],
        "_create_archive": ["data"],
        "_delete_archive": ["data"],
    },
    "ministack.services.lambda_svc": {"_execute_function_warm": ["func", "event", "request_id"]},
    "ministack.services.stepfunctions": {"_ExecutionError": ["error", "cause"]},
    "ministack.services.sts": {"register_session": ["access_key", "session"]},
}  # fmt: skip
# Module → names that the hooks read or write.
NAMES = {
    "ministack.app": {"SERVICE_HANDLERS": dict},
    "ministack.core.iam_actions": {"SERVICE_TO_IAM_NAMESPACE": dict, "_BOTOCORE_SERVICE_MAP": dict},
    "ministack.core.router": {"SERVICE_PATTERNS": dict},
    "ministack.services.cloudformation.provisioners": {"_RESOURCE_HANDLERS": dict},
    "ministack.services.stepfunctions": {"_SERVICE_DISPATCH": dict, "_executions": object},
}
# Module → what its source must say, where a hook relies on how it is used.
USES = {
    "ministack.app": ["load_state(state_key)", "save_all(_build_persistence_save_dict())", 'scope.get("scheme")'],
    "ministack.core.lambda_runtime": ["subprocess.Popen("],
    "ministack.services.lambda_svc": ['error_type = "Runtime.HandlerError"', "= _execute_function_warm(func, event"],
    "ministack.services.stepfunctions": ["return handler(resource, input_data)", 'exc["status"] = "FAILED"'],
}


def moved() -> list[str]:
    found = []
    for module, functions in FUNCTIONS.items():
        for name, parameters in functions.items():
            function = getattr(import_module(module), name, None)
            actual = [*inspect.signature(function).parameters] if function else None
            if actual != parameters:
                found.append(f"{module}.{name}: parameters {actual}, not {parameters}")
    for module, names in NAMES.items():
        for name, kind in names.items():
            if not isinstance(getattr(import_module(module), name, None), kind):
                found.append(f"{module}.{name}: no {kind.__name__}")
    for module, uses in USES.items():
        source = inspect.getsource(import_module(module))
        found += [f"{module}: does not say {text!r}" for text in uses if text not in source]
    return found


if __name__ == "__main__":
    print(json.dumps({"version": metadata.version("ministack"), "moved": moved()}))
    sys.exit(0)
