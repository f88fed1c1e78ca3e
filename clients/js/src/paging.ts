/** Lists that fetch their next page when it is reached, by offset or by the id to go on after. */

import { isObject } from "./errors.js";

/** The rows of one answer. `for await` goes on to the next pages; `total`: of all pages, null where none is told. */
export type Page<T> = T[] & AsyncIterable<T> & { readonly total: number | null };

/** Await it for its first page, or go through all pages with `for await`. */
export type Pages<T> = Promise<Page<T>> & AsyncIterable<T>;

type Parameters = Record<string, unknown>;
/** The parameters of a page → its rows, as they are read, and the whole answer. */
export type Fetch<T> = (given: Parameters) => Promise<{ rows: T[]; body: Record<string, unknown> }>;

export function pages<T>(fetch: Fetch<T>, given: Parameters): Pages<T> {
  const first = page(fetch, given);
  return Object.assign(first, { [Symbol.asyncIterator]: () => later(first) });
}

async function* later<T>(first: Promise<Page<T>>): AsyncGenerator<T, void, undefined> {
  yield* await first;
}

async function page<T>(fetch: Fetch<T>, given: Parameters): Promise<Page<T>> {
  const { rows, body } = await fetch(given);
  const counted = isObject(body["pagination"]) ? body["pagination"] : body;
  const next = following(given, body, rows);
  const total = counted["total"] ?? counted["count"] ?? null;
  // Hidden, so that it prints and compares as the array that it is.
  Object.defineProperties(rows, {
    total: { value: total },
    [Symbol.asyncIterator]: { value: () => all(fetch, rows, next) },
  });
  return rows as Page<T>;
}

/** What is created between two pages moves rows to the next one; no row comes twice. */
async function* all<T>(fetch: Fetch<T>, rows: T[], next: Parameters | null): AsyncGenerator<T, void, undefined> {
  const seen = new Set<unknown>();
  for (;;) {
    // A copy, since the array is the caller's.
    for (const row of [...rows]) {
      const id = (row as { id?: unknown }).id;
      if (id === undefined || !seen.has(id)) yield row;
      if (id !== undefined) seen.add(id);
    }
    if (next === null) return;
    const fetched = await fetch(next);
    next = following(next, fetched.body, fetched.rows);
    rows = fetched.rows;
  }
}

/** The parameters of the page after `body`, null at the end. */
function following(given: Parameters, body: Record<string, unknown>, rows: unknown[]): Parameters | null {
  const counted = isObject(body["pagination"]) ? body["pagination"] : body;
  if (typeof counted["offset"] === "number") {
    const offset = counted["offset"] + rows.length;
    const more = counted["hasMore"] ?? offset < Number(counted["count"] ?? 0);
    return more && rows.length ? { ...given, offset } : null;
  }
  if (!(body["has_more"] ?? body["hasMore"])) return null;
  const last = body["last_id"] ?? body["lastId"] ?? (rows.at(-1) as { id?: unknown } | undefined)?.id;
  return last ? { ...given, after: last } : null;
}
