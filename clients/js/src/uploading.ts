/** Uploading a file by the way that fits its size: in one request, in parts, or straight to storage. */

import { bodyOf, type CallOptions } from "./core.js";
import { InvalidRequest } from "./errors.js";
import { Resource } from "./resources.js";
import type { Answer } from "./types.js";

/** Bytes: what one request carries, what one part of an upload carries, and what the parts of an upload make. */
export const LIMITS = { oneRequest: 4_500_000, part: 4_000_000, inParts: 1024 ** 3 };

export interface UploadOptions extends CallOptions {
  purpose?: "fine-tune" | "evals" | "batch";
  /** A `File`'s own by default. */
  filename?: string;
  /** Seconds, one hour to 30 days, for up to 1 GB. */
  expiresAfter?: number;
}

/** The part of `client.files` that uploads. */
export abstract class Uploading extends Resource {
  abstract complete(fileId: string, options?: CallOptions): Promise<Answer<"File">>;

  /**
   * Upload a JSONL file of up to 5 GB and let it be checked; in Node, `await openAsBlob(path)` of `node:fs` is one
   * that is read piece by piece. A repeated upload with the same idempotencyKey is the same file.
   *
   * Up to 4.5 MB go in one request, up to 1 GB in parts, more straight to storage. Above 100 MB the file comes back as
   * `uploaded`, and `wait()` on it returns when it has been checked.
   */
  async upload(file: Blob | Uint8Array<ArrayBuffer> | string, options: UploadOptions = {}): Promise<Answer<"File">> {
    const { purpose = "fine-tune", expiresAfter, filename, ...call } = options;
    const blob = file instanceof Blob ? file : new Blob([file]);
    const name = filename ?? (blob as { name?: string }).name ?? "data.jsonl";
    if (blob.size <= LIMITS.oneRequest) return this.inOneRequest(blob, name, purpose, expiresAfter, call);
    const facts = { filename: name, purpose, bytes: blob.size };
    if (blob.size <= LIMITS.inParts) return this.inParts(blob, facts, expiresAfter, call);
    if (expiresAfter !== undefined) {
      const told = `A file of ${blob.size} bytes cannot expire by itself; up to ${LIMITS.inParts} bytes can.`;
      const remedy = "Leave expiresAfter out, and delete the file when it is no longer needed.";
      throw new InvalidRequest(told, { field: "expiresAfter", remedy });
    }
    return this.toStorage(blob, facts, call);
  }

  private async inOneRequest(blob: Blob, name: string, purpose: string, after: number | undefined, call: CallOptions) {
    const form = new FormData();
    form.set("purpose", purpose);
    if (after !== undefined) form.set("expires_after[anchor]", "created_at");
    if (after !== undefined) form.set("expires_after[seconds]", String(after));
    form.set("file", blob, name);
    const sent = await this.core.request("POST", "/v1/files", { form }, call);
    return this.read<Answer<"File">>(bodyOf(sent), "File");
  }

  private async inParts(blob: Blob, facts: object, after: number | undefined, call: CallOptions) {
    const expiry = after === undefined ? {} : { expires_after: { anchor: "created_at", seconds: after } };
    const json = { ...facts, mime_type: "text/jsonl", ...expiry };
    const begun = bodyOf(await this.core.request("POST", "/v1/uploads", { json }, call));
    if (begun["file"]) return this.read<Answer<"File">>(begun["file"], "File");
    // The caller's key is that of the first step; every other has one of its own.
    const { idempotencyKey: _, ...rest } = call;
    const upload = `/v1/uploads/${String(begun["id"])}`;
    const ids: unknown[] = [];
    for (let at = 0; at < blob.size; at += LIMITS.part) {
      const form = new FormData();
      form.set("data", blob.slice(at, at + LIMITS.part), "part");
      ids.push(bodyOf(await this.core.request("POST", `${upload}/parts`, { form }, rest))["id"]);
    }
    const done = await this.core.request("POST", `${upload}/complete`, { json: { part_ids: ids } }, rest);
    return this.read<Answer<"File">>(bodyOf(done)["file"], "File");
  }

  private async toStorage(blob: Blob, facts: object, call: CallOptions) {
    const begun = bodyOf(await this.core.request("POST", "/v1/files/presigned", { json: facts }, call));
    const to = begun["upload"] as { method: string; url: string; headers: Record<string, string> };
    const { idempotencyKey: _, ...rest } = call;
    try {
      // The address is a permission by itself: the key goes to nobody else.
      await this.core.send({ ...to, body: blob }, rest);
    } catch (refused) {
      // The address takes content once: an earlier try has arrived, and only its answer was lost.
      if (!(refused instanceof InvalidRequest && refused.status === 412)) throw refused;
    }
    return this.complete((begun["file"] as { id: string }).id, rest);
  }
}
