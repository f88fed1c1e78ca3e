"""Wire shapes of previews of files on the openai surface."""

from typing import Literal, Self

from luthier.datasets.schema import Finding
from luthier.processing.previews import FilePreview
from luthier.wire import Answer


class PreviewTokens(Answer):
    """Equally long: of each token its id, its text, and the characters of the sequence's text that it stands for."""

    ids: list[int]
    strings: list[str]
    characters: list[list[int]]


class TrainedSpan(Answer):
    """A run of tokens that carry loss. Ranges count from 0 and end before their second number."""

    characters: list[int]
    tokens: list[int]
    text: str


class Truncation(Answer):
    """Where a sequence is cut, how many tokens and trained tokens lie behind the cut, and the text that is lost."""

    token: int
    character: int
    tokens: int
    trained_tokens: int
    text: str


class PreviewSequence(Answer):
    """What is rendered of a row, not cut. `loss_mask` has a 1 for each token on which the loss is computed.

    A preference has two, `chosen` and `rejected`; a conversation one, or one per answer where the chat template
    rewrites earlier turns.
    """

    part: str
    text: str
    tokens: PreviewTokens
    loss_mask: list[int]
    trained: list[TrainedSpan]
    truncation: Truncation | None


class PreviewRow(Answer):
    """One row. `line` counts from 1; without `sequences`, `message` says why the row is not shown."""

    line: int
    risk: Literal["no_trained_token", "truncated", "few_trained_tokens", "very_long", "none"] | None
    format: str | None
    sequences: list[PreviewSequence]
    message: str | None
    findings: list[Finding]


class FilePreviewAnswer(Answer):
    """What training makes of a file's rows, `data`: the riskiest first, or the one that was asked for.

    While the status is `preparing` all that is not known yet is null and `data` empty. The numbers are of the whole
    file: `truncated_rows` are cut, `dropped_rows` yield nothing to train; `counts` has the findings by code.
    """

    id: str
    object: Literal["file.preview"] = "file.preview"
    filename: str
    status: Literal["ready", "preparing"]
    model: str
    max_sequence_length: int
    processing_id: str
    method: str | None
    template_sha256: str | None
    examples: int | None
    tokens: int | None
    trained_tokens: int | None
    truncated_rows: int | None
    truncated_tokens: int | None
    dropped_rows: int | None
    longest_row_tokens: int | None
    counts: dict[str, int] | None
    data: list[PreviewRow]

    @classmethod
    def of(cls, preview: FilePreview) -> Self:
        content = dict(preview.content or {})
        rows = content.pop("rows", [])
        unknown = {name: content.get(name) for name, field in cls.model_fields.items() if field.is_required()}
        return cls.model_validate(
            unknown
            | {
                "id": preview.dataset.id,
                "filename": preview.dataset.filename,
                "status": "ready" if preview.content else "preparing",
                "model": preview.base_model,
                "max_sequence_length": preview.max_sequence_length,
                "processing_id": preview.processing_id,
                "data": rows,
            }
        )
