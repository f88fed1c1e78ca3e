/** Telling Luthier's events from anybody else's: https://www.standardwebhooks.com, with WebCrypto. */

import { ConfigurationError, SignatureInvalid } from "./errors.js";
import { readable } from "./names.js";
import { Resource } from "./resources.js";
import type { Open } from "./types.js";

export type WebhookHeaders = Headers | Record<string, string | string[] | undefined>;

/**
 * The event in a request, once its signature and its age have been checked. Throws SignatureInvalid, and
 * ConfigurationError for a secret that is none.
 *
 * Answer 2xx within 15 seconds and do the work afterwards. Events can come twice and out of order: the header
 * `webhook-id` is the same for every try and replay of one event.
 *
 * body: as it arrived; what a framework has parsed and written again has another signature. tolerance: seconds.
 */
export async function verify(
  body: string | Uint8Array<ArrayBuffer>,
  headers: WebhookHeaders,
  secret: string,
  { tolerance = 300 }: { tolerance?: number } = {},
): Promise<Open> {
  const key = await crypto.subtle.importKey("raw", keyOf(secret), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  const found = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => header(headers, name));
  const [id, timestamp, signatures] = found;
  if (!id || !signatures || !/^\d+$/.test(timestamp ?? "")) {
    throw new SignatureInvalid("A header is missing or malformed: webhook-id, -timestamp or -signature.");
  }
  const now = Math.floor(Date.now() / 1000);
  if (Math.abs(now - Number(timestamp)) > tolerance) {
    throw new SignatureInvalid(`The message is from ${timestamp}; it is ${now} now.`, {
      remedy: "Check the clock, or drop it.",
    });
  }
  const signed = await new Blob([`${id}.${timestamp}.`, body]).arrayBuffer();
  const given = signatures.split(" ").filter((one) => one.startsWith("v1,"));
  const macs = given.map((one) => bytes(one.slice(3)) ?? new Uint8Array());
  // Every one is compared, so that the time taken says nothing about which one fits.
  const fitting = await Promise.all(macs.map((mac) => crypto.subtle.verify("HMAC", key, mac, signed)));
  if (!fitting.includes(true)) {
    const remedy = "Check the secret, and that the raw body is verified.";
    throw new SignatureInvalid("No signature fits.", { remedy });
  }
  return readable(JSON.parse(typeof body === "string" ? body : new TextDecoder().decode(body))) as Open;
}

/** The part of `client.webhooks` that needs no server. */
export class Verifying extends Resource {
  /** `verify` of this package. */
  readonly verify = verify;
}

function header(headers: WebhookHeaders, name: string): string | undefined {
  const found = headers instanceof Headers ? headers : Object.entries(headers).map(([key, value]) => [key, `${value}`]);
  return new Headers(found as HeadersInit).get(name) ?? undefined;
}

function keyOf(secret: string): Uint8Array<ArrayBuffer> {
  // What is not base64 would be left out, and anybody can sign with what is left of `whsec_****`.
  const key = bytes(secret.trim().replace(/^whsec_/, ""));
  if (!key?.length) {
    throw new ConfigurationError("The secret is empty, or not `whsec_` and base64.", {
      field: "secret",
      remedy: "Copy it from the endpoint's creation.",
    });
  }
  return key;
}

function bytes(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  } catch {
    return undefined;
  }
}
