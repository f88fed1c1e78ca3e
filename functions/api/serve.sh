#!/bin/sh
# What the Lambda Web Adapter runs in place of Lambda's own program. The layers and the runtime's SDK are not on the path here.
export PYTHONPATH="/opt/python:$PYTHONPATH:$LAMBDA_RUNTIME_DIR"
cd "$LAMBDA_TASK_ROOT" && exec python3 -m functions.api.server "$LUTHIER_SURFACE"
