/** What a page shows of the server: asked for again and again, kept while the server is away. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import type { CallOptions } from "./client.js";
import { pauseAfter, type Trouble, troubleOf } from "./trouble.js";

export interface Live<T> {
  /** As it was last seen; stays while `trouble` lasts. */
  data: T | undefined;
  trouble: Trouble | undefined;
  /** Ask now. */
  again: () => void;
}

/** Called wherever a key turns out to be invalid. */
export const keyRefused = { tell: (): void => undefined };

/**
 * Load something and keep it fresh.
 *
 * @param every milliseconds between two looks; null: what is loaded does not change. May depend on what was seen.
 * @param deps load anew from nothing when one of these changes.
 */
export function useLive<T>(
  load: (options: CallOptions) => Promise<T>,
  every: number | null | ((seen: T) => number | null),
  deps: readonly unknown[],
): Live<T> {
  const [state, setState] = useState<{ data?: T | undefined; trouble?: Trouble | undefined }>({});
  const wake = useRef<() => void>(() => undefined);

  useEffect(() => {
    setState({});
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let failures = 0;
    let asking = false;
    const look = async (): Promise<void> => {
      clearTimeout(timer);
      if (asking || controller.signal.aborted) return;
      asking = true;
      let pause: number | null;
      try {
        const data = await load({ signal: controller.signal });
        if (controller.signal.aborted) return;
        failures = 0;
        setState({ data });
        pause = typeof every === "function" ? every(data) : every;
      } catch (error) {
        if (controller.signal.aborted) return;
        const trouble = troubleOf(error);
        if (trouble.kind === "key") keyRefused.tell();
        setState((before) => ({ data: before.data, trouble }));
        pause = pauseAfter(trouble, ++failures);
      } finally {
        asking = false;
      }
      // Nobody looks at a hidden page; it asks when it is shown again.
      if (pause !== null) timer = setTimeout(() => document.hidden || void look(), pause);
    };
    const shown = (): void => void (document.hidden || look());
    wake.current = () => void look();
    document.addEventListener("visibilitychange", shown);
    addEventListener("online", shown);
    void look();
    return () => {
      controller.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
      removeEventListener("online", shown);
    };
  }, deps);

  return { data: state.data, trouble: state.trouble, again: useCallback(() => wake.current(), []) };
}

export interface Act {
  /** Does it; what may pass is tried again under the same idempotency key, so that nothing is made twice. */
  run: (work: (options: CallOptions) => Promise<unknown>) => Promise<void>;
  busy: boolean;
  trouble: Trouble | undefined;
  clear: () => void;
}

const TRIES = 6;

/** One thing that somebody asked for by a button or a form. */
export function useAct(done?: () => void): Act {
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | undefined>();
  const controller = useRef(new AbortController());
  useEffect(() => () => controller.current.abort(), []);

  const run = async (work: (options: CallOptions) => Promise<unknown>): Promise<void> => {
    const options = { idempotencyKey: crypto.randomUUID(), signal: controller.current.signal };
    setBusy(true);
    for (let failures = 1; !options.signal.aborted; failures++) {
      try {
        await work(options);
        setTrouble(undefined);
        done?.();
        break;
      } catch (error) {
        if (options.signal.aborted) return;
        const found = troubleOf(error);
        if (found.kind === "key") keyRefused.tell();
        const pause = failures < TRIES ? pauseAfter(found, failures) : null;
        setTrouble(found);
        if (pause === null) break;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
    setBusy(false);
  };
  return { run, busy, trouble, clear: () => setTrouble(undefined) };
}
