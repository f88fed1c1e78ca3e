/** What the dashboard decides before it draws anything. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { compared } from "../built/comparison.js";
import { curveOf, points, spoken } from "../built/curve.js";
import { ago, bytes, cents, duration, money } from "../built/format.js";
import { href, parse } from "../built/route.js";
import { wishOf } from "../built/wish.js";

test("an address within the page survives the way there and back, whatever a name holds", () => {
  for (const id of ["ftjob_1", "acme/llama 3", "50%", "a?b#c", "ft:gpt:acme::1"]) {
    const route = parse(href("models", id, { tab: "a&b" }));
    assert.deepEqual([route.page, route.id, route.query.get("tab")], ["models", id, "a&b"]);
  }
});

test("an empty address means the jobs, and a stray percent sign is no failure", () => {
  for (const hash of ["", "#", "#/"]) assert.deepEqual([parse(hash).page, parse(hash).id], ["jobs", null]);
  assert.equal(parse("#/models/100%").id, "100%");
});

test("small amounts keep the digits that matter, and what is unknown is not zero", () => {
  assert.deepEqual(
    [money(12.5), money(0.0042), money(0), money(-3), money(null)],
    ["$12.50", "$0.0042", "$0.00", "-$3.00", "–"],
  );
  assert.equal(cents(1250), "$12.50");
  assert.deepEqual([bytes(0), bytes(999), bytes(1_500_000), bytes(undefined)], ["0 B", "999 B", "1.5 MB", "–"]);
  assert.deepEqual([duration(59.4), duration(61), duration(7_260)], ["59 s", "1 min 1 s", "2 h 1 min"]);
});

test("times are told from ISO texts and from seconds alike, past and to come", () => {
  const now = Date.parse("2026-03-01T12:00:00Z");
  assert.equal(ago("2026-03-01T11:58:30Z", now), "1 min ago");
  assert.equal(ago(now / 1000 - 7_200, now), "2 h ago");
  assert.equal(ago("2026-03-03T12:00:00Z", now), "in 2 d");
  assert.equal(ago("2026-03-01T11:59:58Z", now), "just now");
  assert.deepEqual([ago(null, now), ago("never", now)], ["–", "–"]);
});

const STEPS = [
  { step: 2, trainingLoss: 1.5, validationLoss: 1.75 },
  { step: 1, trainingLoss: 2, validationLoss: null },
];

test("a curve goes by steps, in order, with gaps where nothing was measured", () => {
  assert.deepEqual(curveOf(STEPS), [
    [1, 2],
    [2, 1.5],
    [null, 1.75],
  ]);
  assert.equal(spoken(curveOf(STEPS)), "Training loss fell from 2.000 to 1.500 by step 2. Validation loss is 1.750.");
  assert.equal(spoken(curveOf([])), "No losses yet.");
});

test("a sparkline fills its box, needs two points, and survives a flat line", () => {
  assert.equal(points([2, null, 1], 10, 4), "0.0,0.0 10.0,4.0");
  assert.equal(points([1], 10, 4), "");
  assert.equal(points([1, 1], 10, 4), "0.0,2.0 10.0,2.0");
});

test("a comparison has a row for what any model was measured by, and a dash for those that were not", () => {
  const rows = compared([
    { metrics: { final_loss: 0.123456789, validation: { loss: 1 } }, benchmarks: {} },
    { metrics: { validation: { loss: 2 } }, benchmarks: { arc: { acc: 0.5 } } },
  ]);
  assert.deepEqual(rows, [
    { name: "final loss", values: ["0.12346", "–"] },
    { name: "validation · loss", values: ["1", "2"] },
    { name: "arc · acc", values: ["–", "0.5"] },
  ]);
});

test("what a form leaves empty is left to the platform", () => {
  const filled = new Map([
    ["name", " T "],
    ["baseModel", "tiny"],
    ["method", "dpo"],
    ["epochs", "3"],
    ["learningRate", ""],
    ["maxCost", "2.5"],
  ]);
  assert.deepEqual(wishOf(filled, "file_1"), {
    name: "T",
    baseModel: "tiny",
    trainingDataset: "file_1",
    method: "dpo",
    maxCost: 2.5,
    hyperparameters: { epochs: 3 },
  });
  assert.equal(
    "hyperparameters" in
      wishOf(
        new Map([
          ["name", "T"],
          ["baseModel", "tiny"],
        ]),
        "file_1",
      ),
    false,
  );
});
