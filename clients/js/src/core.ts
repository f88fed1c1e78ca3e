/** One request of a client: where it goes, how often it is tried, and what its answer means. */

import { ConfigurationError, ConnectionFailed, errorOfAnswer, UnexpectedAnswer } from "./errors.js";

export interface ClientOptions {
  /** Else the environment's LUTHIER_API_KEY. */
  apiKey?: string;
  /** What comes before `/v1`. Else the environment's LUTHIER_BASE_URL. */
  baseUrl?: string;
  /** Milliseconds of silence until a try has failed: 300,000, since the fetch of Node and Chrome waits no longer. */
  timeout?: number;
  /** Tries after the first one: 2. */
  maxRetries?: number;
  /** For proxies, certificates and tests. */
  fetch?: typeof fetch;
}

export interface CallOptions {
  /** A repeated call with the same key makes nothing twice. By default every call has one of its own. */
  idempotencyKey?: string;
  /** Ends the call, which then throws the signal's reason. */
  signal?: AbortSignal;
  /** As the client's, for this call. */
  timeout?: number;
  /** As the client's, for this call. */
  maxRetries?: number;
}

export interface Request {
  method: string;
  url: string;
  headers: Record<string, string>;
  body?: string | FormData | Blob | null;
  stream?: boolean;
}

/** A good answer. Where it is streamed `content` is empty, and its reader says when it listens and when it ends. */
export interface Received {
  response: Response;
  content: Uint8Array;
  signal: AbortSignal | undefined;
  listen: (on: boolean) => void;
  finish: () => void;
}

/** Milliseconds; `longest`: what takes longer is for the caller to decide, and the error carries `retryAfter`. */
export const PACE = { first: 500, later: 8_000, longest: 60_000 };

export class Core {
  private readonly apiKey: string;
  private readonly baseUrl: string;
  private readonly fetch: typeof fetch;

  constructor(private readonly options: ClientOptions) {
    const environment = (globalThis as { process?: { env?: Record<string, string> } }).process?.env ?? {};
    this.apiKey = printable(options.apiKey || environment["LUTHIER_API_KEY"]);
    this.baseUrl = address(options.baseUrl || environment["LUTHIER_BASE_URL"]);
    // Browsers refuse a fetch that is called on another object.
    this.fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
  }

  /** A good answer of the API. Throws LuthierError. */
  async request(
    method: string,
    path: string,
    given: { query?: Record<string, unknown>; json?: unknown; form?: FormData; stream?: boolean },
    options: CallOptions = {},
  ): Promise<Received> {
    const headers: Record<string, string> = { Authorization: `Bearer ${this.apiKey}` };
    if (method === "POST") headers["Idempotency-Key"] = options.idempotencyKey ?? crypto.randomUUID();
    if (given.json !== undefined) headers["Content-Type"] = "application/json";
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(given.query ?? {})) {
      for (const one of Array.isArray(value) ? value : [value]) if (one != null) query.append(name, String(one));
    }
    const body = given.form ?? (given.json === undefined ? null : JSON.stringify(given.json));
    const url = `${this.baseUrl}${path}${query.size ? `?${query}` : ""}`;
    return this.send({ method, url, headers, body, stream: given.stream ?? false }, options);
  }

  /** A good answer of any server. Throws LuthierError, and the reason of the caller's signal. */
  async send(request: Request, options: CallOptions = {}): Promise<Received> {
    const most = options.maxRetries ?? this.options.maxRetries ?? 2;
    // What no try can send is the caller's fault, not the network's.
    const headers = new Headers(request.headers);
    for (let number = 0; ; number++) {
      let outcome: Received | ConnectionFailed;
      try {
        outcome = await this.once(request, headers, options);
      } catch (failure) {
        options.signal?.throwIfAborted();
        outcome = unanswered(request.url, failure);
      }
      const pause = number < most ? pauseAfter(outcome, number) : null;
      if (pause !== null) await sleep(pause, options.signal);
      else if (outcome instanceof ConnectionFailed) throw outcome;
      else if (outcome.response.ok) return outcome;
      else throw refusal(outcome);
    }
  }

  private async once(request: Request, headers: Headers, options: CallOptions): Promise<Received> {
    const silence = options.timeout ?? this.options.timeout ?? 300_000;
    const controller = new AbortController();
    const abort = (): void => controller.abort(options.signal?.reason);
    const end = (): void => controller.abort(new Error(`no word for ${silence} ms`));
    let timer: ReturnType<typeof setTimeout> | undefined;
    const listen = (on: boolean): void => {
      clearTimeout(timer);
      if (on) timer = setTimeout(end, silence);
    };
    const finish = (): void => {
      listen(false);
      options.signal?.removeEventListener("abort", abort);
    };
    options.signal?.throwIfAborted();
    options.signal?.addEventListener("abort", abort);
    let streamed = false;
    try {
      listen(true);
      const { url, method, body = null } = request;
      const response = await this.fetch(url, { method, headers, body, signal: controller.signal });
      streamed = (request.stream ?? false) && response.ok;
      listen(!streamed);
      const content = streamed ? new Uint8Array() : new Uint8Array(await response.arrayBuffer());
      return { response, content, signal: options.signal, listen, finish };
    } finally {
      if (!streamed) finish();
    }
  }
}

/** The JSON of an answer. Throws UnexpectedAnswer. */
export function bodyOf(received: Received): Record<string, unknown> {
  try {
    return JSON.parse(new TextDecoder().decode(received.content)) as Record<string, unknown>;
  } catch (cause) {
    const { status, url } = received.response;
    throw new UnexpectedAnswer(`${hostOf(url)} answered no JSON. Check baseUrl.`, { status, cause });
  }
}

/** Pause for so many milliseconds, or throw the reason of the signal. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** Milliseconds until the next try; null: there is no use in one. */
function pauseAfter(outcome: Received | ConnectionFailed, number: number): number | null {
  // Between three quarters and the whole of it, so that many clients do not come back at once.
  const own = Math.min(PACE.first * 2 ** number, PACE.later) * (1 - Math.random() / 4);
  if (outcome instanceof ConnectionFailed) return own;
  const { status } = outcome.response;
  const told = retryAfter(outcome.response);
  const passing = status === 408 || status === 429 || (status >= 500 && status !== 501);
  // A conflict that time resolves says when.
  if (!passing && !(status === 409 && told !== undefined)) return null;
  if (told === undefined) return own;
  return told * 1000 > PACE.longest ? null : Math.max(told * 1000, own);
}

/** The header's seconds, whether it counts them or names a time. */
function retryAfter(response: Response): number | undefined {
  const told = response.headers.get("Retry-After")?.trim();
  if (!told) return undefined;
  const seconds = /^[\d.]+$/.test(told) ? Number(told) : (Date.parse(told) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
}

function refusal({ response, content }: Received): Error {
  const requestId = response.headers.get("x-request-id") ?? undefined;
  return errorOfAnswer(response.status, new TextDecoder().decode(content), requestId, retryAfter(response));
}

function unanswered(url: string, cause: unknown): ConnectionFailed {
  // Node hides what happened behind "fetch failed".
  const told = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  const said = told instanceof Error ? told.message || told.name : String(told);
  const remedy = "Check baseUrl and the network.";
  return new ConnectionFailed(`${hostOf(url)} did not answer: ${said}.`, { remedy, cause });
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "The server";
}

function printable(key: string | undefined): string {
  if (!key) throw missing("API key", "apiKey", "LUTHIER_API_KEY");
  if (!/^[\x21-\x7e]+$/.test(key)) {
    const remedy = "Copy it once more.";
    throw new ConfigurationError("The API key holds characters that no key has.", { field: "apiKey", remedy });
  }
  return key;
}

function address(url: string | undefined): string {
  if (!url) throw missing("address", "baseUrl", "LUTHIER_BASE_URL");
  const parts = URL.canParse(url) ? new URL(url) : null;
  if (!parts || !/^https?:$/.test(parts.protocol) || parts.search || parts.hash) {
    throw new ConfigurationError(`baseUrl is ${JSON.stringify(url)}; it must be an http:// or https:// address.`, {
      field: "baseUrl",
      remedy: "Give what comes before /v1, as https://api.example.com.",
    });
  }
  return url.replace(/\/+$/, "");
}

function missing(what: string, field: string, variable: string): ConfigurationError {
  const remedy = `Pass ${field}, or set ${variable}.`;
  return new ConfigurationError(`No ${what} of Luthier is known.`, { field, remedy });
}
