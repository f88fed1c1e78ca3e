/** What went wrong is told as what it is, and asked again only where that helps. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Luthier } from "../../js/dist/index.js";
import { pace, PAUSE, pauseAfter, troubleOf } from "../built/trouble.js";

async function answered(status, body, headers = {}) {
  const answer = () => Promise.resolve(new Response(JSON.stringify(body), { status, headers }));
  return failed(answer);
}

async function failed(answer) {
  const client = new Luthier({ apiKey: "lt_x", baseUrl: "http://localhost", maxRetries: 0, fetch: answer });
  return client.fineTuning.stats().then(() => assert.fail("it answered"), troubleOf);
}

const said = (code) => ({ error: { code, message: `It is ${code}.`, details: null } });

for (const [status, code, kind, passes] of [
  [401, "UNAUTHORIZED", "key", false],
  [402, "INSUFFICIENT_CREDITS", "credits", false],
  [403, "FORBIDDEN", "scope", false],
  [404, "NOT_FOUND", "missing", false],
  [409, "STATE_CONFLICT", "refused", false],
  [422, "INVALID_REQUEST", "refused", false],
  [429, "RATE_LIMITED", "busy", true],
  [500, "INTERNAL_ERROR", "broken", true],
  [503, "UNAVAILABLE", "away", true],
]) {
  test(`${status} is ${kind} and ${passes ? "passes" : "stays"}`, async () => {
    const trouble = await answered(status, said(code));
    assert.deepEqual([trouble.kind, trouble.passes], [kind, passes]);
    assert.equal(trouble.text, `It is ${code}.`);
    assert.equal(pauseAfter(trouble, 1) === null, !passes);
  });
}

test("a network that is gone is told as that, not by the words of fetch", async () => {
  const trouble = await failed(() => Promise.reject(new TypeError("Failed to fetch")));
  assert.deepEqual([trouble.kind, trouble.passes, trouble.title], ["offline", true, "No connection"]);
  assert.doesNotMatch(trouble.text, /fetch/);
});

test("the server's own pause is kept, and else pauses grow to a bound", async () => {
  const told = await answered(429, said("RATE_LIMITED"), { "Retry-After": "40" });
  assert.equal(pauseAfter(told, 1), 40_000);
  const untold = await answered(503, said("UNAVAILABLE"));
  assert.deepEqual(
    [1, 2, 3, 50].map((failures) => pauseAfter(untold, failures)),
    [1_000, 2_000, 4_000, PAUSE.longest],
  );
});

test("a fault of the page itself is no fault of the server's", () => {
  assert.deepEqual(troubleOf(new TypeError("x is undefined")), {
    kind: "broken",
    title: "The page failed",
    text: "x is undefined",
    passes: false,
  });
});

test("a conflict that time resolves is waited for, as a run that still saves its checkpoint", async () => {
  const trouble = await answered(409, said("STATE_CONFLICT"), { "Retry-After": "5" });
  assert.deepEqual([trouble.kind, trouble.passes, pauseAfter(trouble, 1)], ["wait", true, 5_000]);
});

test("a page of running jobs stays below half of what a key may ask in a minute", () => {
  const perMinute = (requests) => (60_000 / pace(requests)) * requests;
  for (const jobs of [1, 5, 20]) assert.ok(perMinute(1 + 2 * jobs) <= 300, `${jobs} jobs`);
});
