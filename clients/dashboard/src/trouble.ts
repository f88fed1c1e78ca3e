/** What went wrong, in the words of whoever looks at the page, and when to try again. */

import {
  AuthenticationError,
  Conflict,
  ConnectionFailed,
  LuthierError,
  NotFound,
  PaymentRequired,
  PermissionDenied,
  RateLimited,
  ServiceUnavailable,
  UnexpectedAnswer,
} from "./client.js";

export interface Trouble {
  kind: "offline" | "key" | "credits" | "scope" | "missing" | "busy" | "wait" | "away" | "broken" | "refused";
  title: string;
  text: string;
  /** It goes by itself: asking again is all there is to do. */
  passes: boolean;
  /** To be named in a report. */
  requestId?: string | undefined;
  /** Seconds after which the server wants to be asked again. */
  after?: number | undefined;
}

/** Milliseconds between two tries while something is in the way: the first, and the longest. */
export const PAUSE = { first: 1_000, longest: 15_000 };

export function troubleOf(error: unknown): Trouble {
  if (!(error instanceof LuthierError)) {
    return {
      kind: "broken",
      title: "The page failed",
      text: String((error as Error)?.message ?? error),
      passes: false,
    };
  }
  const { message: text, requestId, retryAfter: after } = error;
  if (error instanceof ConnectionFailed) {
    const said = "The server cannot be reached. What is shown may be out of date.";
    return { kind: "offline", title: "No connection", text: said, passes: true };
  }
  if (error instanceof AuthenticationError) return { kind: "key", title: "This key is not valid", text, passes: false };
  if (error instanceof PaymentRequired) return { kind: "credits", title: "Not enough credits", text, passes: false };
  if (error instanceof PermissionDenied)
    return { kind: "scope", title: "This key may not do that", text, passes: false };
  if (error instanceof NotFound) return { kind: "missing", title: "Not found", text, passes: false };
  if (error instanceof RateLimited) return { kind: "busy", title: "Too many requests", text, passes: true, after };
  // A conflict that time resolves says when.
  if (error instanceof Conflict && after !== undefined) {
    return { kind: "wait", title: "Not yet", text, passes: true, after };
  }
  if (error instanceof ServiceUnavailable && [502, 503, 504].includes(error.status ?? 0)) {
    return { kind: "away", title: "Not available right now", text, passes: true, after, requestId };
  }
  if (error instanceof ServiceUnavailable || error instanceof UnexpectedAnswer) {
    // A live page asks again: one failed answer says nothing about the next.
    return { kind: "broken", title: "The server failed", text, passes: true, requestId };
  }
  return { kind: "refused", title: "That was refused", text, passes: false, requestId };
}

/** Milliseconds until the next try after so many failed in a row; null: asking again would not help. */
export function pauseAfter(trouble: Trouble, failures: number): number | null {
  if (!trouble.passes) return null;
  const own = Math.min(PAUSE.first * 2 ** (failures - 1), PAUSE.longest);
  return Math.max(own, (trouble.after ?? 0) * 1_000);
}

/** Milliseconds between two looks that take so many requests: an organization's people share its limit of them. */
export function pace(requests: number): number {
  return Math.max(2_000, requests * 300);
}
