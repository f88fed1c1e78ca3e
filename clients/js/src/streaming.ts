/** Answers in parts: server-sent events, as OpenAI writes them. */

import type { Received } from "./core.js";
import { ConnectionFailed, errorOfEvent, isObject } from "./errors.js";
import { readable } from "./names.js";
import type { Open } from "./types.js";

/**
 * The chunks of one answer, to go through once. Leaving the loop or closing the stream ends the answer.
 * Throws LuthierError where the answer fails or breaks off.
 */
export class Stream implements AsyncIterable<Open> {
  private readonly reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor(private readonly received: Received) {
    this.reader = received.response.body?.getReader();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Open, void, undefined> {
    try {
      for await (const line of this.lines()) {
        // Comments only keep the connection open.
        const data = line.startsWith("data:") ? line.slice(5).trim() : "";
        if (data === "[DONE]") return;
        if (data) yield chunk(data);
      }
    } finally {
      await this.close();
    }
    throw broken();
  }

  async close(): Promise<void> {
    this.received.finish();
    // What has broken off is closed already.
    await this.reader?.cancel().catch(() => undefined);
  }

  private async *lines(): AsyncGenerator<string, void, undefined> {
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await this.next();
      rest += decoder.decode(value, { stream: !done });
      const lines = rest.split(/\r\n|\n|\r/);
      rest = done ? "" : (lines.pop() ?? "");
      yield* lines;
      if (done) return;
    }
  }

  private async next(): Promise<{ done: boolean; value?: Uint8Array | undefined }> {
    // How long the caller takes over a part is no silence of the server's.
    this.received.listen(true);
    try {
      return (await this.reader?.read()) ?? { done: true };
    } catch (cause) {
      this.received.signal?.throwIfAborted();
      throw broken(cause);
    } finally {
      this.received.listen(false);
    }
  }
}

/** Throws the error that an event tells of. */
function chunk(data: string): Open {
  const told: unknown = JSON.parse(data);
  if (isObject(told) && isObject(told["error"])) throw errorOfEvent(told["error"]);
  return readable(told);
}

function broken(cause?: unknown): ConnectionFailed {
  const said = cause instanceof Error && cause.message ? `: ${cause.message}` : "";
  return new ConnectionFailed(`The answer broke off before its end${said}.`, { remedy: "Ask again.", cause });
}
