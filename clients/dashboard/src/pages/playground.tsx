/** One conversation with two models side by side, as they write. */

import { useEffect, useRef, useState } from "preact/hooks";

import { useLive } from "../live.js";
import { Empty, Field, Form, Heading, Shown, Told } from "../parts.js";
import { href } from "../route.js";
import { useClient } from "../session.js";
import { type Trouble, troubleOf } from "../trouble.js";

type Turn = { role: "user" | "assistant"; content: string };

interface Side {
  turns: Turn[];
  busy: boolean;
  seconds: number | null;
  trouble: Trouble | undefined;
}

const BLANK: Side = { turns: [], busy: false, seconds: null, trouble: undefined };
const SIDES = ["a", "b"] as const;
type Which = (typeof SIDES)[number];

export function Playground({ query }: { query: URLSearchParams }) {
  const client = useClient();
  const live = useLive((options) => client.training.deployments.list({ limit: 100 }, options), 10_000, [client]);
  const [chosen, setChosen] = useState<Record<Which, string>>({ a: query.get("a") ?? "", b: query.get("b") ?? "" });
  const [sides, setSides] = useState<Record<Which, Side>>({ a: BLANK, b: BLANK });
  const controller = useRef<AbortController | null>(null);
  useEffect(() => () => controller.current?.abort(), []);
  const change = (which: Which, by: (side: Side) => Partial<Side>): void => {
    setSides((now) => ({ ...now, [which]: { ...now[which], ...by(now[which]) } }));
  };

  const ask = async (which: Which, turns: Turn[], values: FormData, signal: AbortSignal): Promise<void> => {
    const began = performance.now();
    change(which, () => ({
      turns: [...turns, { role: "assistant", content: "" }],
      busy: true,
      trouble: undefined,
      seconds: null,
    }));
    try {
      const stream = await client.chat.completions.create(wishOf(chosen[which], turns, values), { signal });
      for await (const chunk of stream) {
        const more = chunk.choices?.[0]?.delta?.content;
        if (more) change(which, (side) => ({ turns: longer(side.turns, more) }));
      }
    } catch (error) {
      if (!signal.aborted) change(which, () => ({ trouble: { ...troubleOf(error), passes: false } }));
    }
    change(which, () => ({ busy: false, seconds: (performance.now() - began) / 1000 }));
  };

  const send = (values: FormData, form: HTMLFormElement): void => {
    const content = String(values.get("message")).trim();
    controller.current = new AbortController();
    for (const which of SIDES) {
      // What was never answered is not part of the conversation.
      const before = sides[which].turns.filter((turn) => turn.content);
      if (chosen[which]) void ask(which, [...before, { role: "user", content }], values, controller.current.signal);
    }
    const box = form.elements.namedItem("message") as HTMLTextAreaElement;
    box.value = "";
    box.focus();
  };

  const busy = sides.a.busy || sides.b.busy;
  return (
    <>
      <Heading title="Playground">
        {busy && (
          <button type="button" onClick={() => controller.current?.abort()}>
            Stop
          </button>
        )}
        <button type="button" disabled={busy} onClick={() => setSides({ a: BLANK, b: BLANK })}>
          Begin anew
        </button>
      </Heading>
      <Shown live={live}>
        {(rows) => {
          const active = rows.filter((row) => row.status === "active");
          if (active.length === 0) {
            return (
              <Empty title="No model is deployed.">
                <p>
                  The playground asks models that are deployed. <a href={href("models")}>Deploy one</a>
                </p>
              </Empty>
            );
          }
          return (
            <>
              <div class="pair">
                {SIDES.map((which) => (
                  <section key={which} aria-label={`Model ${which.toUpperCase()}`}>
                    <Field label={`Model ${which.toUpperCase()}`}>
                      {(id) => (
                        <select
                          id={id}
                          value={chosen[which]}
                          disabled={sides[which].busy}
                          onChange={(event) => setChosen({ ...chosen, [which]: event.currentTarget.value })}
                        >
                          <option value="">{which === "a" ? "Choose …" : "None"}</option>
                          {active.map((row) => (
                            <option key={row.id} value={row.id}>
                              {row.name} ({row.modelId})
                            </option>
                          ))}
                        </select>
                      )}
                    </Field>
                    <div
                      role="log"
                      aria-busy={sides[which].busy}
                      aria-label={`Conversation with model ${which.toUpperCase()}`}
                      tabIndex={0}
                    >
                      {sides[which].turns.map((turn, at) => (
                        <p key={at} class={`said ${turn.role}`}>
                          {turn.content || (sides[which].busy ? "…" : "(nothing)")}
                        </p>
                      ))}
                    </div>
                    <Told trouble={sides[which].trouble} />
                    {sides[which].seconds !== null && <small>{sides[which].seconds!.toFixed(1)} s</small>}
                  </section>
                ))}
              </div>
              <Form send={send}>
                <Field label="Message">{(id) => <textarea id={id} name="message" required rows={3} />}</Field>
                <details>
                  <summary>Settings</summary>
                  <Field label="System prompt">{(id) => <textarea id={id} name="system" rows={2} />}</Field>
                  <div class="inline">
                    <Field label="Most tokens">
                      {(id) => <input id={id} name="maxTokens" type="number" min={1} defaultValue="256" />}
                    </Field>
                    <Field label="Temperature">
                      {(id) => (
                        <input id={id} name="temperature" type="number" min={0} max={2} step="any" defaultValue="0.7" />
                      )}
                    </Field>
                  </div>
                </details>
                <button class="main" disabled={busy || !(chosen.a || chosen.b)} aria-busy={busy}>
                  Send
                </button>
              </Form>
            </>
          );
        }}
      </Shown>
    </>
  );
}

function wishOf(model: string, turns: Turn[], values: FormData) {
  const system = String(values.get("system")).trim();
  const messages = [...(system ? [{ role: "system" as const, content: system }] : []), ...turns];
  const [maxTokens, temperature] = [Number(values.get("maxTokens")), Number(values.get("temperature"))];
  return { model, messages, maxTokens, temperature, stream: true as const };
}

function longer(turns: Turn[], more: string): Turn[] {
  const last = turns.at(-1);
  return last ? [...turns.slice(0, -1), { ...last, content: last.content + more }] : turns;
}
