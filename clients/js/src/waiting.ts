/** Waiting for what goes on by itself, with progress. */

import { sleep } from "./core.js";
import { ConnectionFailed, isObject, ServiceUnavailable, WaitTimedOut, WorkFailed } from "./errors.js";

export interface WaitOptions<T> {
  /** Milliseconds, for ever by default. */
  timeout?: number;
  /** Called with it whenever something about it has changed. */
  onProgress?: (thing: T) => void;
  /** Ends the waiting, which then throws the signal's reason. */
  signal?: AbortSignal;
}

/** Milliseconds between two looks, from the first to the later ones, and how many in a row may fail. */
export const LOOKS = { soon: 1_000, late: 10_000, faults: 30 };

/**
 * Look until its status is one of `ended`, and return it as it is then; statuses with spaces between.
 * Throws WorkFailed, WaitTimedOut and what `get` throws; a server that is away for a while is waited for.
 */
export async function waitFor<T extends { status: string }>(
  get: (options: { signal?: AbortSignal }) => Promise<T>,
  ended: string,
  failed: string,
  { timeout = Infinity, onProgress, signal }: WaitOptions<T> = {},
): Promise<T> {
  const until = Date.now() + timeout;
  let pause = LOOKS.soon;
  let faults = 0;
  let thing: T | undefined;
  let shown = "";
  for (;;) {
    try {
      thing = await get(signal ? { signal } : {});
      faults = 0;
    } catch (fault) {
      // Whoever has never answered may not be there at all.
      const passes = fault instanceof ConnectionFailed || fault instanceof ServiceUnavailable;
      if (!passes || thing === undefined || ++faults > LOOKS.faults) throw fault;
    }
    const seen = JSON.stringify(thing);
    if (seen !== shown) onProgress?.(thing);
    shown = seen;
    if (failed.split(" ").includes(thing.status)) throw failure(thing);
    if (ended.split(" ").includes(thing.status)) return thing;
    const left = until - Date.now();
    if (left <= 0) {
      const told = `It has not ended after ${timeout} ms; it goes on.`;
      throw new WaitTimedOut(told, { resource: thing, remedy: "Wait again." });
    }
    await sleep(Math.min(pause, left), signal);
    pause = Math.min(pause * 1.5, LOOKS.late);
  }
}

/** The reason as whatever it is tells it: an object or a text. */
function failure(thing: { status: string }): WorkFailed {
  const facts = thing as Record<string, unknown>;
  const told = facts["error"] ?? facts["statusReason"] ?? facts["status_details"];
  const reason = isObject(told) ? told : {};
  const message = reason["message"] ?? (typeof told === "string" ? told : `It is ${thing.status}.`);
  const code = String(reason["code"] ?? reason["error"] ?? thing.status).toLowerCase();
  const remedy = typeof reason["hint"] === "string" ? reason["hint"] : undefined;
  return new WorkFailed(`${String(facts["id"] ?? "It")}: ${String(message)}`, { resource: thing, code, remedy });
}
