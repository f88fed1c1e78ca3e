// A server that answers as it is told, and remembers what it was asked.
import { createServer } from "node:http";
import { once } from "node:events";
import { Luthier } from "@luthier/sdk";

/** Run `use` with a client of a server that gives `answers` in turn: {status, headers, body}, or a function of both sides. */
export async function serving(answers, use, options = {}) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const { method, url, headers } = request;
    requests.push({ method, url, headers, body, json: () => JSON.parse(body), at: Date.now() });
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (typeof answer === "function") return answer(request, response, body);
    const { status = 200, headers: sent = {}, body: told = {} } = answer;
    response.writeHead(status, { "content-type": "application/json", ...sent });
    response.end(typeof told === "string" || Buffer.isBuffer(told) ? told : JSON.stringify(told));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const baseUrl = `http://127.0.0.1:${server.address().port}`;
  try {
    return await use(new Luthier({ apiKey: "lt_key", baseUrl, ...options }), requests, baseUrl);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

export const lost = (request, response) => response.destroy();
export const sent = (requests) => requests.map(({ method, url }) => `${method} ${url}`);
