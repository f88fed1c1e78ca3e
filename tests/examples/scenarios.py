"""Every scenario. Each starts with an empty platform; of two that show one operation, the earlier one counts."""

from tests.examples import files, organization, registry, training

SCENARIOS = (
    *(training.fine_tuning, training.tuning, training.openai_fine_tuning),
    *(files.files, files.uploads, files.models, files.asking),
    *(registry.registry, registry.importing, registry.downloading, registry.judging, registry.deploying),
    *(organization.account, organization.webhooks, organization.webhook_endpoints),
)
