// What is sent, how often, and what an answer means.
import assert from "node:assert/strict";
import { test } from "node:test";
import { AuthenticationError, ConfigurationError, Conflict, ConnectionFailed, InvalidRequest, Luthier } from "@luthier/sdk";
import { NotFound, RateLimited, ServiceUnavailable, UnexpectedAnswer, WaitTimedOut, WorkFailed } from "@luthier/sdk";
import { PACE } from "../dist/core.js";
import { LOOKS } from "../dist/waiting.js";
import { lost, sent, serving } from "./server.js";

PACE.first = 8;
LOOKS.soon = LOOKS.late = 5;
const JOB = { id: "ftjob_1", name: "Tickets", status: "queued", baseModel: "llama-3.1-8b" };
const BUSY = { status: 503, body: "<html>busy</html>" };

test("names go out as the route spells them, and come back in either spelling", async () => {
  const told = { deployment: { id: "ep_1", configuration: { maxTokens: 5 }, a_new_field: { inner_name: 1 } } };
  await serving([{ body: told }], async (client, requests) => {
    const configuration = { maxTokens: 5, topP: 0.9, repetition_penalty: 1 };
    const made = await client.training.models.deploy("a/b", { gpuType: "a100", configuration });
    assert.equal(requests[0].url, "/v2/training/models/a%2Fb/deploy");
    assert.equal(requests[0].headers.authorization, "Bearer lt_key");
    const wire = { max_tokens: 5, top_p: 0.9, repetition_penalty: 1 };
    assert.deepEqual(requests[0].json(), { gpuType: "a100", configuration: wire });
    assert.equal(made.aNewField.innerName, 1);
    assert.deepEqual(made, told.deployment);
    assert.equal(JSON.stringify(made), JSON.stringify(told.deployment));
  });
});

test("names that are the caller's own are left alone; null is sent, undefined is not", async () => {
  await serving([{ body: { id: "m" } }], async (client, requests) => {
    await client.training.models.update("m", { metadata: { useCase: "chat" }, description: null, name: undefined });
    assert.deepEqual(requests[0].json(), { metadata: { useCase: "chat" }, description: null });
  });
});

test("what may pass is tried again under one key, and each call has its own", async () => {
  for (const fault of [BUSY, lost, { status: 429 }, { status: 409, headers: { "Retry-After": "0" } }]) {
    await serving([fault, fault, { body: JOB }], async (client, requests) => {
      assert.equal((await client.fineTuning.jobs.create({ name: "Tickets" })).id, "ftjob_1");
      assert.equal(requests.length, 3);
      assert.equal(new Set(requests.map((one) => one.headers["idempotency-key"])).size, 1);
      await client.fineTuning.jobs.create({ name: "Tickets" });
      assert.notEqual(requests[3].headers["idempotency-key"], requests[0].headers["idempotency-key"]);
      await client.fineTuning.jobs.create({ name: "Tickets" }, { idempotencyKey: "own" });
      assert.equal(requests[4].headers["idempotency-key"], "own");
    });
  }
});

test("what does not pass is not tried again, nor more often than allowed", async () => {
  for (const [answer, family, options, tries] of [
    [{ status: 409 }, Conflict, {}, 1],
    [{ status: 501 }, ServiceUnavailable, {}, 1],
    [BUSY, ServiceUnavailable, {}, 3],
    [BUSY, ServiceUnavailable, { maxRetries: 0 }, 1],
    [lost, ConnectionFailed, { maxRetries: 1 }, 2],
    [{ status: 429, headers: { "Retry-After": "61" } }, RateLimited, {}, 1],
  ]) {
    await serving([answer], async (client, requests) => {
      await assert.rejects(client.fineTuning.stats(options), family);
      assert.equal(requests.length, tries);
    });
  }
});

test("the server says when to come back", async () => {
  const soon = new Date(Date.now() + 2_000).toUTCString();
  for (const told of ["0.3", soon]) {
    await serving([{ status: 429, headers: { "Retry-After": told } }, { body: { total: 0 } }], async (client, requests) => {
      await client.fineTuning.stats();
      assert.ok(requests[1].at - requests[0].at >= 290);
    });
  }
});

test("silence ends a try, and a signal the call", async () => {
  const silent = () => {};
  await serving([silent], async (client, requests) => {
    const gone = client.fineTuning.stats({ timeout: 40, maxRetries: 1 });
    await assert.rejects(gone, (error) => error instanceof ConnectionFailed && /no word for 40 ms/.test(error.message));
    assert.equal(requests.length, 2);
    await assert.rejects(client.fineTuning.stats({ signal: AbortSignal.timeout(30) }), { name: "TimeoutError" });
    assert.equal(requests.length, 3);
  });
});

test("errors come in families with code, field, request and remedy", async () => {
  const error = { code: "unknown_hyperparameter", message: "No such. Check it.", param: "hyperparameters.learning_rat" };
  const headers = { "x-request-id": "req_1" };
  const cases = [
    [400, { error }, InvalidRequest, ["unknown_hyperparameter", "hyperparameters.learningRat", "Check its spelling."]],
    [404, { error: "MODEL_NOT_FOUND", code: 404, message: "None.", details: { modelId: "m" } }, NotFound, ["model_not_found"]],
    [404, { error: "RESOURCE_NOT_FOUND", message: "None.", details: { reason: "file_not_found" } }, NotFound, ["file_not_found"]],
    [401, "<html>", AuthenticationError, ["unauthorized", undefined, "Send a valid key."]],
  ];
  for (const [status, body, family, [code, field, remedy]] of cases) {
    await serving([{ status, headers, body }], async (client) => {
      const thrown = await client.training.models.get("m").catch((failure) => failure);
      assert.ok(thrown instanceof family);
      assert.deepEqual([thrown.status, thrown.code, thrown.field, thrown.requestId], [status, code, field, "req_1"]);
      assert.ok(remedy ? thrown.remedy === remedy : thrown.remedy.endsWith("."));
    });
  }
  await serving([{ body: "<html>" }], async (client) => {
    await assert.rejects(client.training.models.get("m"), UnexpectedAnswer);
  });
});

test("an id that would lead to another route is refused before it is sent", async () => {
  await serving([{}], async (client, requests) => {
    for (const id of ["", ".", "..", undefined]) {
      await assert.rejects(client.training.models.delete(id), { code: "invalid_request", field: "modelId" });
    }
    assert.equal(requests.length, 0);
  });
});

test("a client says what its configuration lacks", () => {
  assert.throws(() => new Luthier({ baseUrl: "http://h" }), { name: "ConfigurationError", field: "apiKey" });
  assert.throws(() => new Luthier({ apiKey: "k" }), { field: "baseUrl" });
  assert.throws(() => new Luthier({ apiKey: "k\n", baseUrl: "http://h" }), ConfigurationError);
  assert.throws(() => new Luthier({ apiKey: "k", baseUrl: "api.example.com" }), ConfigurationError);
});

test("a list goes on to its next pages, by offset or by id, and shows no row twice", async () => {
  const row = (id) => ({ id });
  const byOffset = [
    { body: { models: [row(1), row(2)], pagination: { total: 3, offset: 0, hasMore: true } } },
    { body: { models: [row(2), row(3)], pagination: { total: 3, offset: 2, hasMore: false } } },
  ];
  await serving(byOffset, async (client, requests) => {
    const page = await client.training.models.list({ limit: 2, trainingJobId: "j" });
    assert.ok(Array.isArray(page));
    assert.deepEqual([page.map((one) => one.id), page.total], [[1, 2], 3]);
    const ids = [];
    for await (const one of page) ids.push(one.id);
    assert.deepEqual(ids, [1, 2, 3]);
    assert.deepEqual(sent(requests).map((one) => one.split("?")[1]), ["limit=2&trainingJobId=j", "limit=2&trainingJobId=j&offset=2"]);
  });
  const byId = [{ body: { data: [row("a"), row("b")], has_more: true } }, { body: { data: [row("c")], has_more: false } }];
  await serving(byId, async (client, requests) => {
    const ids = [];
    for await (const file of client.files.list({ limit: 2 })) ids.push(file.id);
    assert.deepEqual(ids, ["a", "b", "c"]);
    assert.equal(requests[1].url, "/v1/files?limit=2&after=b");
  });
});

test("waiting tells of progress, outlives an outage, and ends with its work", async () => {
  const job = (status) => ({ body: { ...JOB, status } });
  const outage = Array(4).fill(BUSY);
  await serving([job("queued"), job("running"), ...outage, job("running"), job("completed")], async (client) => {
    const seen = [];
    const created = await client.fineTuning.jobs.create({ name: "Tickets" });
    const done = await created.wait({ onProgress: (now) => seen.push(now.status) });
    assert.deepEqual([done.status, seen], ["completed", ["running", "completed"]]);
  });
  const reason = { code: "out_of_memory", message: "Too large.", hint: "Halve it." };
  await serving([{ body: { ...JOB, status: "failed", statusReason: reason } }], async (client) => {
    const failed = await client.fineTuning.jobs.wait("ftjob_1").catch((failure) => failure);
    assert.ok(failed instanceof WorkFailed);
    assert.deepEqual([failed.code, failed.remedy, failed.resource.id], ["out_of_memory", "Halve it.", "ftjob_1"]);
  });
  await serving([job("running")], async (client) => {
    await assert.rejects(client.fineTuning.jobs.wait("ftjob_1", { timeout: 30 }), WaitTimedOut);
  });
});
