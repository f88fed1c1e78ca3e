// Streams, uploads, downloads and webhooks.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { ConfigurationError, InvalidRequest, SignatureInvalid, verify } from "@luthier/sdk";
import { PACE } from "../dist/core.js";
import { LIMITS } from "../dist/uploading.js";
import { lost, sent, serving } from "./server.js";

PACE.first = 8;
const ASKED = { model: "m", messages: [{ role: "user", content: "Tell me" }], maxTokens: 9, stream: true };
const chunk = (content) => `data: ${JSON.stringify({ choices: [{ delta: { content }, finish_reason: null }] })}\n\n`;
const streaming = (parts, end = (response) => response.end()) => async (_, response) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const part of parts) {
    response.write(part);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  end(response);
};
const read = async (stream) => {
  const texts = [];
  for await (const one of stream) texts.push(one.choices[0].delta.content);
  return texts;
};

test("a chat comes in parts, wherever the network cuts them", async () => {
  const bytes = Buffer.from(`: alive\n\n${chunk("Grüße ")}${chunk("an 🎻")}data: [DONE]\n\n`);
  const everyByte = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
  for (const parts of [[bytes], [bytes.subarray(0, 70), bytes.subarray(70)], everyByte.slice(0, -2)]) {
    await serving([streaming(parts)], async (client, requests) => {
      const stream = await client.chat.completions.create(ASKED);
      assert.deepEqual(await read(stream), ["Grüße ", "an 🎻"]);
      assert.equal(requests[0].json().max_tokens, 9);
    });
  }
});

test("a stream that fails, breaks off or falls silent says so", async () => {
  const event = `data: ${JSON.stringify({ error: { code: "model_failed", message: "It broke." } })}\n\n`;
  const cases = [
    [streaming([chunk("one "), event]), { code: "model_failed", status: 503 }],
    [streaming([chunk("one ")]), { name: "ConnectionFailed" }],
    [streaming([chunk("one ")], (response) => response.destroy()), { name: "ConnectionFailed" }],
    [streaming([chunk("one ")], () => {}), { name: "ConnectionFailed" }],
  ];
  for (const [answer, expected] of cases) {
    await serving([answer], async (client) => {
      const stream = await client.chat.completions.create(ASKED, { timeout: 150 });
      await assert.rejects(read(stream), expected);
    });
  }
});

test("a signal ends a stream with its own reason, and a slow reader is no silence", async () => {
  await serving([streaming([chunk("one "), chunk("two ")], () => {})], async (client) => {
    const controller = new AbortController();
    const stream = await client.chat.completions.create(ASKED, { timeout: 100, signal: controller.signal });
    const texts = [];
    const reading = (async () => {
      for await (const one of stream) {
        texts.push(one.choices[0].delta.content);
        await new Promise((resolve) => setTimeout(resolve, 150));
        if (texts.length === 2) setTimeout(() => controller.abort(new Error("enough")), 20);
      }
    })();
    await assert.rejects(reading, { message: "enough" });
    assert.deepEqual(texts, ["one ", "two "]);
  });
});

test("a stream may take longer than its silences, and leaving it hangs up", { timeout: 10_000 }, async () => {
  let closed;
  const over = new Promise((resolve) => (closed = resolve));
  const endless = (_, response) => {
    response.on("close", closed);
    const timer = setInterval(() => response.write(chunk("word ")), 20);
    response.on("close", () => clearInterval(timer));
  };
  await serving([endless], async (client) => {
    let count = 0;
    for await (const _ of await client.chat.completions.create(ASKED, { timeout: 100 })) if (++count === 12) break;
    await over;
  });
});

const FILE = { id: "file_1", object: "file", status: "processed", expires_at: null };

test("a small file goes as a form, again whole when its answer is lost", async () => {
  await serving([lost, { body: FILE }], async (client, requests) => {
    const options = { filename: "a.jsonl", expiresAfter: 3600, idempotencyKey: "own" };
    assert.equal((await client.files.upload('{"text": "a"}\n', options)).expiresAt, null);
    assert.deepEqual(sent(requests), ["POST /v1/files", "POST /v1/files"]);
    for (const { body, headers } of requests) {
      assert.equal(headers["idempotency-key"], "own");
      for (const part of ['name="purpose"', "fine-tune", 'filename="a.jsonl"', "expires_after[seconds]", '{"text": "a"}']) {
        assert.ok(body.includes(part), part);
      }
    }
  });
});

const usual = { ...LIMITS };
test.afterEach(() => Object.assign(LIMITS, usual));

test("a larger file goes in parts", async () => {
  Object.assign(LIMITS, { oneRequest: 10, part: 7, inParts: 100 });
  const answers = [{ body: { id: "upload_1", file: null } }, { body: { id: "part_1" } }, lost, { body: { id: "part_2" } }];
  await serving([...answers, { body: { file: FILE } }], async (client, requests) => {
    const file = await client.files.upload(new File(["0123456789abc"], "named.jsonl"), { idempotencyKey: "own" });
    assert.equal(file.id, "file_1");
    assert.deepEqual([requests[0].json().filename, requests[0].json().bytes], ["named.jsonl", 13]);
    assert.ok(requests[1].body.includes("0123456") && requests[3].body.includes("789abc"));
    assert.deepEqual(requests[4].json(), { part_ids: ["part_1", "part_2"] });
    const keys = requests.map((one) => one.headers["idempotency-key"]);
    assert.deepEqual([keys[0], keys[2], new Set(keys).size], ["own", keys[3], 4]);
  });
});

test("the largest go straight to storage, without the key, and once", async () => {
  Object.assign(LIMITS, { oneRequest: 1, inParts: 10 });
  let base = "";
  const begun = (_, response) => {
    const upload = { method: "PUT", url: `${base}/bucket/object`, headers: { "If-None-Match": "*" } };
    response.end(JSON.stringify({ file: { id: "file_1" }, upload }));
  };
  await serving([begun, lost, { status: 412, body: "<Error/>" }, { body: FILE }], async (client, requests, url) => {
    base = url;
    assert.equal((await client.files.upload("0123456789abc")).id, "file_1");
    assert.deepEqual(sent(requests).slice(1), [...Array(2).fill("PUT /bucket/object"), "POST /v1/files/file_1/complete"]);
    const { headers, body } = requests[2];
    assert.deepEqual([headers.authorization, headers["content-length"], headers["if-none-match"]], [undefined, "13", "*"]);
    assert.equal(body.toString(), "0123456789abc");
    await assert.rejects(client.files.upload("0123456789abc", { expiresAfter: 3600 }), InvalidRequest);
  });
});

test("a file comes back byte by byte", async () => {
  const bytes = Buffer.from([0, 255, 10, 200]);
  await serving([{ body: bytes }], async (client) => {
    assert.deepEqual(Buffer.from(await client.files.content("file_1")), bytes);
  });
});

const SECRET = `whsec_${Buffer.from("a secret of some length").toString("base64")}`;
const EVENT = '{"event": "training.completed", "data": {"job_id": "ftjob_1", "name": "Grüße"}}';
function signed(body = EVENT, at = Math.floor(Date.now() / 1000)) {
  const mac = createHmac("sha256", "a secret of some length").update(`evt_1.${at}.${body}`).digest("base64");
  return { "Webhook-Id": "evt_1", "webhook-timestamp": `${at}`, "webhook-signature": `v1,AAAA v1,${mac}` };
}

test("an event is ours when its signature fits and it is young", async () => {
  for (const [body, headers] of [[EVENT, signed()], [new TextEncoder().encode(EVENT), new Headers(signed())]]) {
    assert.equal((await verify(body, headers, SECRET)).data.jobId, "ftjob_1");
  }
  const old = signed(EVENT, Math.floor(Date.now() / 1000) - 301);
  await assert.rejects(verify(EVENT, old, SECRET), /message is from/);
  assert.ok(await verify(EVENT, old, SECRET, { tolerance: 400 }));
  await assert.rejects(verify(EVENT.replace("completed", "failed"), signed(), SECRET), SignatureInvalid);
  await assert.rejects(verify(EVENT, { ...signed(), "webhook-signature": "v1,*" }, SECRET), SignatureInvalid);
  await assert.rejects(verify(EVENT, {}, SECRET), /header is missing/);
  for (const none of ["", "whsec_", "whsec_****"]) await assert.rejects(verify(EVENT, signed(), none), ConfigurationError);
});
