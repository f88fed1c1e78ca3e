/** A customer's way through the dashboard, against a local cloud: nothing here is a stand-in. */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, test as tested } from "node:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { openBrowser, ROOT, startCloud, startReceiver } from "./cloud.js";

const TICKETS = join(ROOT, "training_container", "demo", "tickets", "train.jsonl");
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SLOW = 120_000;
let cloud, browser, page;
/** What the page asked of others, and what it or its policy complained about. */
const strangers = [];
const complaints = [];

before(async () => {
  cloud = await startCloud();
  browser = await openBrowser();
  page = await browser.newPage();
  page.setDefaultTimeout(20_000);
  page.on("dialog", (dialog) => void dialog.accept());
  page.on("request", (request) => request.url().startsWith(`${cloud.url}/`) || strangers.push(request.url()));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on(
    "console",
    (message) => /Content Security|Refused|TrustedHTML/.test(message.text()) && complaints.push(message.text()),
  );
});

after(async () => {
  await browser?.close();
  await cloud?.stop();
});

let broken = false;

/** One step of the walk: without the ones before it, it would fail for their reason. */
function test(name, walk) {
  tested(name, async (context) => {
    if (broken) return context.skip("an earlier step failed");
    broken = true;
    await walk();
    broken = false;
  });
}

const press = (name, scope = page) => scope.getByRole("button", { name, exact: true }).click();
const go = (name) => page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name, exact: true }).click();
const says = (text, timeout = 20_000) => page.getByText(text).first().waitFor({ timeout });
const status = (text) => page.locator(".facts .status").filter({ hasText: text }).waitFor({ timeout: SLOW });
const signIn = async (key) => {
  await page.getByLabel("API key").fill(key);
  await press("Sign in");
};

async function createJob({ name, epochs, learningRate, suffix = "" }) {
  await go("Jobs");
  await page.getByRole("link", { name: "New job" }).click();
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByLabel("Model to start from").fill("tiny-llama-test");
  await page.getByLabel("Examples").selectOption("new");
  await page.getByLabel("File", { exact: true }).setInputFiles(TICKETS);
  await page.getByLabel("Epochs").fill(String(epochs));
  await page.getByLabel("Learning rate").fill(String(learningRate));
  await page.getByLabel("Batch size").fill("8");
  await page.getByLabel("Suffix").fill(suffix);
  await press("Create the job");
  await page.getByRole("heading", { level: 1, name }).waitFor();
}

const points = async () => Number(await page.locator(".curve [role=img]").getAttribute("data-points"));

async function morePointsThan(count) {
  await page.waitForFunction(
    (least) => Number(document.querySelector(".curve [role=img]")?.getAttribute("data-points")) > least,
    count,
    { timeout: SLOW },
  );
  return points();
}

test("a wrong key is refused, a right one opens the page and lies in session storage only", async () => {
  await page.goto(`${cloud.url}/`);
  await signIn("lt_nobodys");
  await page.locator('[data-kind="key"]').waitFor();
  await signIn(cloud.key);
  await says("No jobs yet.");
  const kept = await page.evaluate(() => [Object.values({ ...sessionStorage }), localStorage.length, document.cookie]);
  assert.deepEqual(kept, [[cloud.key], 0, ""]);
});

test("a job is created with an uploaded file, and its curve moves", async () => {
  await createJob({ name: "Long", epochs: 30, learningRate: 0.001 });
  await morePointsThan(await morePointsThan(2));
  await page.locator(".curve canvas").waitFor();
  await says(/Training loss (fell|rose|stayed)/);
});

test("a job stops and is restarted from its checkpoint", async () => {
  const before = await points();
  await press("Stop");
  await status("stopped");
  // A stopped run first saves its checkpoint; until then the page waits as long as the server says.
  await page.getByRole("button", { name: /^Restart/ }).click();
  await page
    .locator(".facts .status")
    .filter({ hasText: /queued|running/ })
    .waitFor({ timeout: SLOW });
  await morePointsThan(before);
  await press("Stop");
  await status("stopped");
});

test("a failed job says why and what to do, and is retried as suggested", async () => {
  await createJob({ name: "Too fast", epochs: 5, learningRate: 1 });
  await status("failed");
  await says("What to do:");
  await says("Lower learning_rate or raise warmup_steps");
  await press("Retry as suggested");
  await page
    .locator(".facts .status")
    .filter({ hasText: /queued|running/ })
    .waitFor({ timeout: SLOW });
  await press("Stop");
  await status("stopped");
});

test("events, log and the dataset's report are told, by keyboard too", async () => {
  await page.getByRole("tab", { name: "Events" }).focus();
  await page.getByRole("region", { name: "Events" }).waitFor();
  await page.keyboard.press("ArrowRight");
  await page.getByRole("tab", { name: "Log", selected: true }).waitFor();
  await page.keyboard.press("ArrowRight");
  await says("Nothing is wrong with this file.");
});

test("a completed job is deployed, and so is its base model", async () => {
  await createJob({ name: "Short", epochs: 1, learningRate: 0.01, suffix: "walk" });
  await status("completed");
  await press("Deploy");
  await page.getByRole("heading", { level: 1, name: "Deployments" }).waitFor();
  await page.getByLabel("Base model").fill("tiny-llama-test");
  await press("Deploy it");
  const rows = page.locator("tr[data-deployment] .status");
  await page.waitForFunction(() => document.querySelectorAll("tr[data-deployment] .status.good").length === 2, null, {
    timeout: SLOW,
  });
  assert.deepEqual(await rows.allTextContents(), ["active", "active"]);
  await says("loaded and proven");
});

test("two models answer side by side, as they write", async () => {
  await go("Playground");
  for (const which of ["Model A", "Model B"]) {
    const section = page.getByRole("region", { name: which });
    await section.getByRole("combobox").selectOption({ index: which === "Model A" ? 1 : 2 });
  }
  await page.getByLabel("Message").fill("My invoice is wrong.");
  const streamed = page.waitForResponse((answer) => answer.url().endsWith("/v1/chat/completions"));
  await press("Send");
  assert.match((await streamed).headers()["content-type"], /event-stream/);
  for (const which of ["A", "B"]) {
    const log = page.getByRole("log", { name: `Conversation with model ${which}` });
    await page.waitForFunction(
      (name) => {
        const log = document.querySelector(`[role=log][aria-label="Conversation with model ${name}"]`);
        return (
          log?.ariaBusy !== "true" && log?.getAttribute("aria-busy") !== "true" && log?.querySelector(".assistant")
        );
      },
      which,
      { timeout: SLOW },
    );
    const said = await log.locator(".assistant").textContent();
    assert.ok(said && !["…", "(nothing)"].includes(said), `Model ${which} said ${said}`);
  }
});

test("models are shown with their versions and compared", async () => {
  await createJob({ name: "Another", epochs: 1, learningRate: 0.005, suffix: "other" });
  await status("completed");
  await page.locator(".facts a").click();
  await page.getByRole("heading", { level: 2, name: "Versions" }).waitFor();
  await go("Models");
  await page.locator("tbody tr").nth(1).waitFor();
  for (const box of (await page.getByRole("checkbox").all()).slice(0, 2)) await box.check();
  await press("Compare 2");
  await page.getByRole("heading", { level: 1, name: "Comparison" }).waitFor();
  await page.locator("tbody tr th").first().waitFor();
});

test("a test event is sent, delivered, logged and sent again", async () => {
  const receiver = await startReceiver();
  await go("Webhooks");
  await says("Nobody is told of events yet.");
  await page.getByLabel("Name").fill("Walk");
  await page.getByLabel("Address").fill(receiver.url);
  await page.getByLabel("Events").fill("dataset.validated");
  await press("Register");
  await says("whsec_");
  await press("Done");
  await page.getByRole("link", { name: "Walk" }).click();
  await press("Send test event");
  await says(/^Delivered: .* was answered with 200/);
  assert.equal(receiver.received.length, 1);
  const log = page.locator("tr[data-delivery]");
  await log.filter({ hasText: "(test)" }).getByText("delivered", { exact: true }).waitFor();
  const form = new FormData();
  form.set("purpose", "fine-tune");
  form.set("file", new Blob([readFileSync(TICKETS)]), "again.jsonl");
  await cloud.call("POST", "/v1/files", form);
  const row = log.filter({ hasText: "dataset.validated" });
  await row.getByText("delivered", { exact: true }).waitFor({ timeout: SLOW });
  await press("Send again", row);
  for (let number = 0; number < 120 && receiver.received.length < 3; number++) await page.waitForTimeout(500);
  assert.deepEqual(receiver.received[2]?.data, receiver.received[1]?.data);
  receiver.stop();
});

test("a lost connection, a busy server and a refused one are told as what they are, and pass by themselves", async () => {
  await go("Jobs");
  await page.locator("tr[data-job]").first().waitFor();
  await page.context().setOffline(true);
  await page.locator('[data-kind="offline"]').waitFor({ timeout: 30_000 });
  assert.ok(await page.locator("tr[data-job]").count(), "what was seen stays");
  await page.context().setOffline(false);
  await page.locator('[data-kind="offline"]').waitFor({ state: "detached", timeout: 30_000 });
  for (const [code, kind] of [
    [503, "away"],
    [429, "busy"],
  ]) {
    const body = JSON.stringify({ error: { code: "UNAVAILABLE", message: "Later.", details: null } });
    await page.route("**/api/v1/fine-tuning/jobs?*", (route) =>
      route.fulfill({ status: code, body, headers: { "Retry-After": "1" } }),
    );
    await page.locator(`[data-kind="${kind}"]`).waitFor({ timeout: 30_000 });
    await page.unroute("**/api/v1/fine-tuning/jobs?*");
    await page.locator(`[data-kind="${kind}"]`).waitFor({ state: "detached", timeout: 30_000 });
  }
});

test("a key that is revoked asks for another one, on the same page", async () => {
  await go("Keys and credits");
  await page.getByLabel("Name").fill("short-lived");
  await page.getByLabel("Scopes").fill("fine-tuning:read,models:read");
  await press("Create");
  const key = await page.locator(".secret").textContent();
  await press("Sign out");
  await signIn(key);
  await says("This key may not do that");
  await go("Models");
  await page.getByRole("heading", { level: 1, name: "Models" }).waitFor();
  const { data } = await cloud.call("GET", "/v1/organization/api_keys");
  await cloud.call("DELETE", `/v1/organization/api_keys/${data.find((one) => one.name === "short-lived").id}`);
  await says("This key is not valid any more.", SLOW);
  await signIn(cloud.key);
  await page.getByRole("heading", { level: 1, name: "Models" }).waitFor();
});

test("axe finds nothing serious on any page, in light and in dark", async () => {
  const { jobs } = await cloud.call("GET", "/api/v1/fine-tuning/jobs");
  const { models } = await cloud.call("GET", "/v2/training/models");
  const { webhooks } = await cloud.call("GET", "/v1/webhooks");
  const failed = jobs.find((job) => job.name === "Too fast");
  const pages = [
    "jobs",
    `jobs/${failed.id}`,
    "new-job",
    "models",
    `models/${models[0].id}`,
    "deployments",
    "playground",
    "webhooks",
    `webhooks/${webhooks[0].id}`,
    "account",
  ];
  pages.push(`compare?models=${models[0].id},${models[1].id}`, "nowhere");
  const found = [];
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const name of pages) {
      await page.evaluate((to) => void (location.hash = `#/${to}`), name);
      await page.waitForTimeout(1_500);
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      const grave = violations.filter((one) => ["serious", "critical"].includes(one.impact));
      found.push(
        ...grave.map(
          (one) => `${name}, ${colorScheme}: ${one.id} at ${one.nodes[0].target}: ${one.nodes[0].failureSummary}`,
        ),
      );
    }
  }
  assert.deepEqual(found, []);
});

test("nothing was asked of anybody else, and no policy was broken", () => {
  assert.deepEqual([strangers, complaints], [[], []]);
});
