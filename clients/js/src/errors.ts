/** What the client throws, in families by what the caller can do about it. */

import { ERRORS } from "./tables.js";
import { camel } from "./names.js";

/** The codes that some surfaces have for a whole family, in the words of ERRORS.md. */
const GENERAL: Record<string, string> = {
  resource_not_found: "not_found",
  endpoint_not_found: "not_found",
  forbidden: "scope_required",
  rate_limit_exceeded: "rate_limited",
  semantic_error: "unprocessable",
  service_unavailable: "unavailable",
  validation_error: "invalid_request",
  invalid_input: "invalid_request",
};

export interface Facts {
  code?: string | undefined;
  field?: string | undefined;
  requestId?: string | undefined;
  remedy?: string | undefined;
  status?: number | undefined;
  details?: unknown;
  retryAfter?: number | undefined;
  resource?: unknown;
  cause?: unknown;
}

export class LuthierError extends Error {
  static readonly code: string = "error";
  /** As in ERRORS.md, the same whichever route answered. */
  readonly code: string;
  /** Path of the offending field: `hyperparameters.learningRate`. */
  readonly field: string | undefined;
  /** What to name in a report. */
  readonly requestId: string | undefined;
  /** What to do, in one sentence. */
  readonly remedy: string | undefined;
  /** Of HTTP; undefined where no answer came. */
  readonly status: number | undefined;
  /** What the server added. */
  readonly details: unknown;
  /** Seconds. */
  readonly retryAfter: number | undefined;
  /** What was waited for, as it was last seen. */
  readonly resource: unknown;

  constructor(message: string, facts: Facts = {}) {
    // A server's message ends with a remedy of its own.
    super(facts.remedy && facts.status === undefined ? `${message} ${facts.remedy}` : message, { cause: facts.cause });
    this.name = new.target.name;
    this.code = facts.code ?? new.target.code;
    this.field = facts.field;
    this.requestId = facts.requestId;
    this.remedy = facts.remedy;
    this.status = facts.status;
    this.details = facts.details;
    this.retryAfter = facts.retryAfter;
    this.resource = facts.resource;
  }
}

/** Say which key and which address to use. */
export class ConfigurationError extends LuthierError { static override readonly code = "configuration"; }
/** Check address and network: nothing or half an answer came. */
export class ConnectionFailed extends LuthierError { static override readonly code = "connection_failed"; }
/** 400, 422 and the rest of 4xx: change the request. */
export class InvalidRequest extends LuthierError { static override readonly code = "invalid_request"; }
/** 401: send a valid key. */
export class AuthenticationError extends LuthierError { static override readonly code = "unauthorized"; }
/** 402: add credits or raise the cap. */
export class PaymentRequired extends LuthierError { static override readonly code = "insufficient_credits"; }
/** 403: use a key with the scope. */
export class PermissionDenied extends LuthierError { static override readonly code = "scope_required"; }
/** 404: check the id. */
export class NotFound extends LuthierError { static override readonly code = "not_found"; }
/** 409: wait, or bring the resource into the required state. */
export class Conflict extends LuthierError { static override readonly code = "state_conflict"; }
/** 429: wait `retryAfter` seconds. */
export class RateLimited extends LuthierError { static override readonly code = "rate_limited"; }
/** 5xx: try again later, or report the request id. */
export class ServiceUnavailable extends LuthierError { static override readonly code = "unavailable"; }
/** The answer is not what this version knows: update the client. */
export class UnexpectedAnswer extends LuthierError { static override readonly code = "unexpected_answer"; }
/** A webhook was not signed with the secret, or is too old to be believed. */
export class SignatureInvalid extends LuthierError { static override readonly code = "signature_invalid"; }
/** What was waited for failed; `resource` says why. */
export class WorkFailed extends LuthierError { static override readonly code = "failed"; }
/** What was waited for is not done yet and goes on. */
export class WaitTimedOut extends LuthierError { static override readonly code = "wait_timed_out"; }

const FAMILIES: Record<number, typeof LuthierError> = {
  401: AuthenticationError,
  402: PaymentRequired,
  403: PermissionDenied,
  404: NotFound,
  409: Conflict,
  429: RateLimited,
};

/** The error in an answer, from any surface's shape, or from whatever a proxy has answered instead. */
export function errorOfAnswer(status: number, text: string, requestId?: string, retryAfter?: number): LuthierError {
  const family = FAMILIES[status] ?? (status >= 500 ? ServiceUnavailable : InvalidRequest);
  const body = object(text);
  const told = isObject(body["error"]) ? body["error"] : body;
  const details = told["details"];
  const facts = isObject(details) ? details : {};
  const said = text.split(/\s+/).join(" ").trim().slice(0, 200) || "nothing";
  // On /v2 `error` is the code and `code` the status.
  const word = typeof body["error"] === "string" ? body["error"] : told["code"];
  const code = specific(String(word ?? family.code).toLowerCase(), facts);
  const field = told["param"] ?? facts["param"] ?? facts["field"];
  return new family(String(told["message"] ?? `The server answered ${status}: ${said}`), {
    code,
    field: typeof field === "string" ? field.replace(/\w+/g, camel) : undefined,
    requestId: requestId ?? (typeof body["request_id"] === "string" ? body["request_id"] : undefined),
    remedy: ERRORS[code]?.[1],
    status,
    details,
    retryAfter,
  });
}

/** The error that ends a stream. Its status is the one that its code always comes with. */
export function errorOfEvent(error: Record<string, unknown>): LuthierError {
  const code = String(error["code"] ?? "internal_error").toLowerCase();
  return errorOfAnswer(ERRORS[code]?.[0] ?? 500, JSON.stringify({ error }));
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function object(text: string): Record<string, unknown> {
  try {
    const body: unknown = JSON.parse(text);
    return isObject(body) ? body : {};
  } catch {
    return {};
  }
}

function specific(code: string, facts: Record<string, unknown>): string {
  return code in GENERAL ? String(facts["reason"] ?? GENERAL[code]).toLowerCase() : code;
}
