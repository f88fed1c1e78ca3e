/** What every method of `api.ts` does: fill the path, spell the fields, send, read the answer. */

import type { Luthier } from "./api.js";
import { bodyOf, type CallOptions, type Core } from "./core.js";
import { InvalidRequest } from "./errors.js";
import { camel, onTheWire, readable } from "./names.js";
import { pages, type Pages } from "./paging.js";
import { Stream } from "./streaming.js";
import { AWAITED } from "./tables.js";

/** Where a method goes. */
export interface Route {
  method: string;
  path: string;
  /** The snake_case names of its fields, dotted where nested. */
  snakes?: readonly string[];
  /** Fields are parameters of the address; always so for GET and DELETE. */
  query?: boolean;
  /** The schema of the answer, or of a row of it. */
  answer?: string;
  /** The key that wraps the answer. */
  inside?: string;
  /** The key that holds the rows of a list. */
  rows?: string;
}

/** Part of a client, as `client.training.models`. */
export class Resource {
  constructor(
    protected readonly core: Core,
    protected readonly root: Luthier,
  ) {}

  protected async call<T>(route: Route, ids: string[], fields: object, options?: CallOptions): Promise<T> {
    const received = await this.sent(route, ids, fields, false, options);
    if (!route.answer) return undefined as T;
    if (route.answer === "bytes") return received.content as T;
    const body = bodyOf(received);
    return this.read<T>(route.inside ? body[route.inside] : body, route.answer);
  }

  protected async streamed<T>(route: Route, ids: string[], fields: object, options?: CallOptions): Promise<T | Stream> {
    const stream = (fields as { stream?: boolean }).stream ?? false;
    const received = await this.sent(route, ids, fields, stream, options);
    return stream ? new Stream(received) : this.read<T>(bodyOf(received), route.answer ?? "");
  }

  protected listed<T>(route: Route, ids: string[], fields: object, options?: CallOptions): Pages<T> {
    const fetch = async (given: object): Promise<{ rows: T[]; body: Record<string, unknown> }> => {
      const body = bodyOf(await this.sent(route, ids, given, false, options));
      const found = (body[route.rows ?? ""] ?? []) as unknown[];
      return { rows: found.map((row) => this.read<T>(row, route.answer ?? "")), body };
    };
    return pages(fetch, { ...fields });
  }

  /** An answer that can be read in either spelling, and waited for where it goes on by itself. */
  protected read<T>(value: unknown, schema: string): T {
    const read = readable(value) as Record<string, string>;
    const [home, ...keys] = AWAITED[schema] ?? [];
    if (home) {
      const wait = (options: unknown): unknown => {
        let found: unknown = this.root;
        for (const name of home.split(".")) found = (found as Record<string, unknown>)[name];
        return (found as { wait(...given: unknown[]): unknown }).wait(...keys.map((key) => read[key]), options);
      };
      Object.defineProperty(read, "wait", { value: wait });
    }
    return read as T;
  }

  private async sent(route: Route, ids: string[], fields: object, stream: boolean, options?: CallOptions) {
    const { method, snakes = [] } = route;
    let at = 0;
    const path = route.path.replace(/{(\w+)}/g, (_, name: string) => segment(name, ids[at++]));
    const wire = onTheWire(fields, snakes) as Record<string, unknown>;
    const inQuery = route.query || method === "GET" || method === "DELETE";
    return this.core.request(method, path, inQuery ? { query: wire, stream } : { json: wire, stream }, options);
  }
}

function segment(name: string, value: unknown): string {
  // Two dots would lead to another route.
  if (typeof value !== "string" || ["", ".", ".."].includes(value)) {
    const told = `${camel(name)} is ${JSON.stringify(value)}; it must be an id or a name.`;
    throw new InvalidRequest(told, { field: camel(name), remedy: "Pass a text." });
  }
  return encodeURIComponent(value);
}
