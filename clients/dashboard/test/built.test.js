/** What a visitor downloads: little, and from nobody else. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const DIST = new URL("../dist/", import.meta.url);
const files = readdirSync(DIST, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
const read = (file) => readFileSync(`${file.parentPath ?? file.path}/${file.name}`);

test("everything together stays under 300 KB gzipped", () => {
  assert.ok(files.length >= 3, "it was built");
  const total = files.reduce((sum, file) => sum + gzipSync(read(file)).length, 0);
  assert.ok(total < 300_000, `${total} bytes`);
});

test("the page names no other origin, and holds no script or style of its own", () => {
  const page = readFileSync(new URL("index.html", DIST), "utf8");
  assert.doesNotMatch(page, /(src|href)="(https?:)?\/\//);
  assert.doesNotMatch(page, /<style|\son\w+=|<script(?![^>]*\bsrc=)/);
});
