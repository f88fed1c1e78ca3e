"""What the demo shows at its end: rates before and after, the loss curve, and how to go on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Rates:
    """Shares (0 to 1) of answers with the right form, and with the right form and both labels."""

    format_correct: float
    intent_correct: float
    urgency_correct: float
    label_correct: float

    @classmethod
    def of(cls, rows: list[dict[str, Any]], answers: list[str]) -> "Rates":
        wanted = [json.loads(row["messages"][-1]["content"]) for row in rows]
        given = [read_answer(answer) for answer in answers]
        pairs = list(zip(wanted, given, strict=True))

        def share(*labels: str) -> float:
            hits = [got is not None and all(got[label] == want[label] for label in labels) for want, got in pairs]
            return sum(hits) / len(hits)

        return cls(share(), share("intent"), share("urgency"), share("intent", "urgency"))


def read_answer(answer: str) -> dict[str, str] | None:
    """The labels of an answer in exactly the trained form, else None."""
    try:
        found = json.loads(answer)
    except ValueError:
        return None
    right = isinstance(found, dict) and set(found) == {"intent", "urgency"}
    return found if right and all(isinstance(value, str) for value in found.values()) else None


@dataclass(frozen=True)
class Report:
    """Everything the demo found; `folder` takes its files."""

    folder: Path
    heldout: list[dict[str, Any]]
    before: list[str]
    after: list[str]
    job: dict[str, Any]
    steps: list[dict[str, Any]]

    def show(self, console: Console, environment: dict[str, str], seconds: float) -> None:
        """Print the comparison and where everything is; write the picture, the answers and the weights."""
        self.folder.mkdir(parents=True, exist_ok=True)
        console.print(self._rates())
        console.print(self._example())
        picture = draw_losses(self.steps, self.folder / "loss-curve.png")
        answers = self._write_answers(self.folder / "answers.json")
        weights = fetch_weights(environment, self.job, self.folder / "model")
        console.print(f"  loss curve   {picture}")
        console.print(f"  answers      {answers}")
        console.print(f"  your model   {weights}")
        console.print(f"  job          {self.job['id']}, result model {self.job['resultModel']}", soft_wrap=True)
        call = how_to_call(self.job["resultModel"], environment["LUTHIER_BASE_URL"])
        console.print(call, markup=False, soft_wrap=True)
        console.print(f"The demo took {seconds:.0f} s.")

    def _rates(self) -> Table:
        before, after = Rates.of(self.heldout, self.before), Rates.of(self.heldout, self.after)
        table = Table(title=f"{len(self.heldout)} held-out tickets")
        for heading in ("", "base model", "fine-tuned"):
            table.add_column(heading, justify="left" if not heading else "right")
        for label, name in (
            ("format correct", "format_correct"), ("label correct", "label_correct"),
            ("  intent alone", "intent_correct"), ("  urgency alone", "urgency_correct"),
        ):  # fmt: skip
            table.add_row(label, f"{getattr(before, name):.0%}", f"{getattr(after, name):.0%}")
        return table

    def _example(self) -> Table:
        table = Table(title="One of them", show_header=False)
        ticket = self.heldout[0]["messages"]
        for name, text in (
            ("ticket", ticket[-2]["content"]), ("wanted", ticket[-1]["content"]),
            ("base model", self.before[0]), ("fine-tuned", self.after[0]),
        ):  # fmt: skip
            table.add_row(name, text)
        return table

    def _write_answers(self, path: Path) -> Path:
        told = [[message["content"] for message in row["messages"][-2:]] for row in self.heldout]
        rows = [
            {"ticket": ticket, "wanted": wanted, "base": base, "tuned": tuned}
            for (ticket, wanted), base, tuned in zip(told, self.before, self.after, strict=True)
        ]
        path.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return path


def draw_losses(steps: list[dict[str, Any]], path: Path) -> Path:
    """The training loss by step, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name, label in (("trainingLoss", "training"), ("validationLoss", "validation")):
        points = [(step["step"], step[name]) for step in steps if step[name] is not None]
        if points:
            axes.plot(*zip(*points, strict=True), label=label)
    axes.set(xlabel="step", ylabel="loss", title="Loss", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


def fetch_weights(environment: dict[str, str], job: dict[str, Any], folder: Path) -> Path:
    """Copy the adapter out of the artifacts bucket: the weights are yours."""
    import boto3

    s3 = boto3.client(
        "s3", endpoint_url=environment["AWS_ENDPOINT_URL_S3"], region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    bucket = environment["LUTHIER_ARTIFACTS_BUCKET"]
    prefix = f"{job['organizationId']}/jobs/{job['id']}/output/"
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            target = folder / item["Key"].split("/output/model/")[-1]
            target.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, item["Key"], str(target))
    return folder


def how_to_call(model: str, base_url: str) -> str:
    """The same model by curl and by the openai client."""
    return f"""
Everything is kept in the state folder. Start it again with `make local`, then:

  set -a; . .luthier/env; set +a
  curl {base_url}/v1/chat/completions -H "Authorization: Bearer $LUTHIER_API_KEY" \\
    -H 'Content-Type: application/json' \\
    -d '{{"model": "{model}", "messages": [
          {{"role": "system", "content": "Sort the support ticket. Answer in JSON."}},
          {{"role": "user", "content": "My invoice shows the wrong company name."}}]}}'

  from openai import OpenAI
  client = OpenAI(base_url="{base_url}/v1", api_key="<LUTHIER_API_KEY>")
  client.chat.completions.create(model="{model}", messages=[…])
"""
