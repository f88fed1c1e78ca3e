/** Who is asking: the key lies in session storage only, so it goes with the tab. */

import { createContext } from "preact";
import { useContext } from "preact/hooks";

import { Luthier } from "./client.js";

const NAME = "luthier.key";

export function keptKey(): string | null {
  return sessionStorage.getItem(NAME);
}

export function keepKey(key: string | null): void {
  if (key === null) sessionStorage.removeItem(NAME);
  else sessionStorage.setItem(NAME, key);
}

/** Tries are the page's own, so that it can say what it waits for. */
export function clientOf(apiKey: string): Luthier {
  return new Luthier({ apiKey, baseUrl: location.origin, maxRetries: 0, timeout: 60_000 });
}

export const Client = createContext<Luthier | null>(null);

export function useClient(): Luthier {
  const client = useContext(Client);
  if (client === null) throw new Error("This part of the page needs a key.");
  return client;
}
