"""What the page of the training_models surface documents of the model registry.

Ids, times and measured values stand for their type; what a test may compare by value, it names.
"""

from typing import Any

from tests.contract.fine_tuning_page import TIME

_NAMED = {"id": "model_1234567890abcdef", "name": "llama-7b-customer-support", "type": "llm", "status": "ready"}
# The text's item.
ITEM: dict[str, Any] = {
    **_NAMED,
    "baseModel": "meta-llama/Llama-2-7b-hf",
    "version": "v1.0.0",
    "trainingJobId": "job_1234567890abcdef",
    "size": {"parameters": 7000000000, "bytes": 13421772800, "compressed": 6710886400},
    "metrics": {"finalLoss": 0.234, "accuracy": 0.892, "perplexity": 12.45},
    "deployments": {"active": 2, "endpoints": ["ep_prod_support_chat", "ep_staging_support_chat"]},
    "createdAt": TIME,
    "updatedAt": TIME,
}
# The generated block's item and envelope, which come after the text's.
GENERATED_ITEM = {
    "modelId": "<string>", "name": "<string>", "status": "training", "framework": "<string>", "modelType": "<string>",
    "accuracy": 123, "createdAt": TIME, "completedAt": TIME,
}  # fmt: skip
PAGE = {"models": [ITEM], "pagination": {"total": 8, "limit": 50, "offset": 0, "hasMore": None}, "total": 123}

DETAILS: dict[str, Any] = {
    **_NAMED,
    "description": "Fine-tuned LLaMA 7B model for customer support conversations",
    "baseModel": "meta-llama/Llama-2-7b-hf",
    "version": "v1.0.0",
    "trainingJobId": "job_1234567890abcdef",
    "datasetId": "ds_1234567890abcdef",
    "architecture": {
        "layers": 32, "attention_heads": 32, "hidden_size": 4096, "vocabulary_size": 32000, "context_length": 2048,
    },
    "training": {
        "strategy": "lora",
        "parameters": {
            "rank": 16, "alpha": 32, "dropout": 0.1, "target_modules": ["q_proj", "v_proj", "k_proj", "o_proj"],
        },
        "epochs": 3,
        "final_learning_rate": 1.2e-5,
        "total_steps": 1875,
        "training_time": 10800,
    },
    "size": {
        "parameters": 7000000000, "trainable_parameters": 4194304, "bytes": 13421772800, "compressed": 6710886400,
    },
    "metrics": {
        "training": {"final_loss": 0.234, "best_loss": 0.198, "perplexity": 12.45},
        "validation": {"loss": 0.267, "accuracy": 0.892, "f1_score": 0.885, "bleu_score": 0.78},
        "custom": {"helpfulness_score": 8.7},
    },
    "files": [
        {"name": "pytorch_model.bin", "size": 13421772800, "type": "model_weights", "checksum": "sha256:a1b2c3d4e5f6"}
    ],
    "deployments": [
        {
            "id": "ep_prod_support_chat", "name": "Production Support Chat", "status": "active",
            "url": "https://api.tensorone.ai/v2/ep_prod_support_chat/runsync", "workers": 3, "createdAt": TIME,
        }
    ],
    "tags": ["customer-support", "production", "llama"],
    "metadata": {
        "domain": "customer_support", "language": "en", "use_case": "conversational_ai", "quality_gate": "passed",
    },
    "createdAt": TIME,
    "updatedAt": TIME,
}  # fmt: skip

UPDATE = {
    "name": "llama-7b-customer-support-v2",
    "description": "Updated fine-tuned model with improved safety",
    "tags": ["customer-support", "production", "llama", "v2"],
    "metadata": {
        "domain": "customer_support", "language": "en", "use_case": "conversational_ai", "quality_gate": "passed",
        "safety_review": "approved", "performance_tier": "premium",
    },
}  # fmt: skip
VERSION = {
    "version": "v1.1.0",
    "trainingJobId": "job_new_training_123",
    "description": "Improved version with additional safety training",
    "changelog": [
        "Enhanced safety guidelines training", "Improved response coherence", "Reduced hallucination rate by 15%",
    ],
}  # fmt: skip
ARCHIVE = {"reason": "Replaced by newer version", "retention_period": "90d"}
NOT_FOUND = {
    "error": "MODEL_NOT_FOUND",
    "message": "Model with specified ID does not exist",
    "details": {"modelId": "model_invalid_id"},
}
PARAMETERS = {
    "type": ["llm", "vision", "multimodal", "custom"],
    "status": ["training", "ready", "deployed", "archived", "completed", "failed", "cancelled"],
    "sort": ["created_at", "updated_at", "name", "size"],
    "order": ["asc", "desc"],
}
