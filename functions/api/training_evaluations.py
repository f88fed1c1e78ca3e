"""Evaluating and comparing models, on the training_models surface."""

from functions.api.app import Surface, needs
from luthier import wiring
from luthier.processing import schema

MODELS = "/v2/training/models"
READ, WRITE = needs("models:read"), needs("models:write")


def add_routes(app: Surface) -> None:
    @app.post(f"{MODELS}/compare", security=WRITE, summary="Compare models")
    def compare_models(body: schema.CompareModels) -> schema.ComparisonAnswer:
        found = wiring.comparisons().compare(app.principal, body.models, body.metrics, body.benchmarks)
        return schema.ComparisonAnswer.of(found)

    @app.post(f"{MODELS}/<model_id>/evaluate", security=WRITE, summary="Evaluate a model", status_code=202)
    def evaluate_model(model_id: str, body: schema.EvaluateModel) -> schema.EvaluationList:
        found = wiring.evaluations().evaluate(app.principal, model_id, body.benchmarks, body.max_examples)
        return schema.EvaluationList.of(found)

    @app.get(f"{MODELS}/<model_id>/evaluations", security=READ, summary="List a model's evaluations")
    def list_evaluations(model_id: str) -> schema.EvaluationList:
        return schema.EvaluationList.of(wiring.evaluations().list(app.principal, model_id))

    @app.get(f"{MODELS}/<model_id>/evaluations/<evaluation_id>", security=READ, summary="Get an evaluation")
    def get_evaluation(model_id: str, evaluation_id: str) -> schema.EvaluationObject:
        return schema.EvaluationObject.of(wiring.evaluations().get(app.principal, model_id, evaluation_id))
