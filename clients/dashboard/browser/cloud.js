/** A local cloud of its own, a browser, and a receiver of webhooks: what the walk goes through. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createSocketServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const START_MS = 180_000;

async function freePort() {
  const server = createSocketServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** Start it and wait until it is ready: `{ url, key, call, stop }`. */
export async function startCloud() {
  const folder = await mkdtemp(join(tmpdir(), "luthier-browser-"));
  const ports = [await freePort(), await freePort()];
  const given = ["--state-dir", folder, "--port", ports[0], "--aws-port", ports[1], "--base-model", "tiny"];
  const python = join(ROOT, ".venv", "bin", "python");
  const child = spawn(python, ["-m", "infra.local", "up", ...given.map(String), "--wait-scale", "0.02"], { cwd: ROOT });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => (said += part));
  const stop = async () => {
    if (child.exitCode === null && child.kill("SIGINT")) await once(child, "exit");
    await rm(folder, { recursive: true, force: true });
  };
  const until = Date.now() + START_MS;
  while (!said.includes("Ready after")) {
    if (child.exitCode !== null || Date.now() > until) {
      await stop();
      throw new Error(`The local cloud did not start:\n${said}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const environment = Object.fromEntries(
    readFileSync(join(folder, "env"), "utf8")
      .split("\n")
      .filter(Boolean)
      .map((line) => line.split(/=(.*)/s)),
  );
  const { LUTHIER_BASE_URL: url, LUTHIER_API_KEY: key } = environment;
  const call = async (method, path, body) => {
    const form = body instanceof FormData;
    const headers = { Authorization: `Bearer ${key}`, ...(!form && { "Content-Type": "application/json" }) };
    const answer = await fetch(url + path, { method, headers, body: form ? body : body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  return { url, key, call, stop };
}

export async function openBrowser() {
  const executablePath = BROWSERS.find((path) => existsSync(path));
  if (!executablePath)
    throw new Error(`No Chromium was found (${BROWSERS.join(", ")}). Install Debian's package chromium.`);
  // As root, as in a container, Chromium's own sandbox cannot be set up.
  return chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
}

/** Takes webhooks: `received` are their events, in order. */
export async function startReceiver() {
  const received = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    received.push(JSON.parse(body));
    response.end("ok");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { received, url: `http://127.0.0.1:${server.address().port}/hook`, stop: () => server.close() };
}
