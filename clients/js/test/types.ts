// What must compile, and what must not: nothing here is run.
import { Luthier, type Stream } from "@luthier/sdk";

const client = new Luthier({ apiKey: "key", baseUrl: "https://api.example.com", timeout: 60_000 });

const models = await client.training.models.list({ type: "llm", status: "ready", limit: 20 });
models.forEach((model) => {
  const parameters: number | null = model.size.parameters;
});
const total: number | null = models.total;
for await (const model of client.training.models.list()) model.baseModel satisfies string;

const model = await client.training.models.get("model_1");
model.metrics.validation.f1Score satisfies number | null;
model.metrics.validation.f1_score satisfies number | null;
model.metadata["use_case"] satisfies string | undefined;

const deployment = await client.training.models.deploy("model_1", {
  gpuType: "a100",
  scaling: { minWorkers: 1 },
  configuration: { maxTokens: 512, topP: 0.9 },
});
(await deployment.wait({ onProgress: (now) => now.status satisfies string })).url satisfies string;
// @ts-expect-error: one spelling is sent
await client.training.models.deploy("model_1", { configuration: { max_tokens: 512 } });
// @ts-expect-error: no such status
await client.training.models.list({ status: "redy" });
// @ts-expect-error: a model needs no waiting
await model.wait();

const asked = { model: "m", messages: [{ role: "user", content: "Hello" }] };
(await client.chat.completions.create({ ...asked, stream: true })) satisfies Stream;
(await client.chat.completions.create(asked)).choices[0].message.content;
(await client.files.upload("{}")).wait() satisfies Promise<{ status: string }>;
