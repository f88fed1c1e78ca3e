/** What every page is made of. */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { ago, moment } from "./format.js";
import { href } from "./route.js";
import type { Act, Live } from "./live.js";
import type { Trouble } from "./trouble.js";

/** Passing trouble is told politely, since nobody has to act on it. */
export function Told({ trouble, again }: { trouble: Trouble | undefined; again?: (() => void) | undefined }) {
  if (!trouble) return null;
  return (
    <div
      class={`told ${trouble.passes ? "passing" : "lasting"}`}
      role={trouble.passes ? "status" : "alert"}
      data-kind={trouble.kind}
    >
      <strong>{trouble.title}.</strong> <span>{trouble.text}</span>{" "}
      {trouble.passes && <span>Trying again by itself.</span>}
      {trouble.kind === "credits" && <a href={href("account")}>See credits and caps</a>}
      {trouble.requestId && <small> Request {trouble.requestId}</small>}
      {again && trouble.passes && (
        <button type="button" onClick={again}>
          Try now
        </button>
      )}
    </div>
  );
}

/** The page's content once it is there, and what is in the way; `empty`: said where there is nothing. */
export function Shown<T>({ live, children }: { live: Live<T>; children: (data: T) => ComponentChildren }) {
  return (
    <>
      <Told trouble={live.trouble} again={live.again} />
      {live.data !== undefined
        ? children(live.data)
        : !live.trouble && (
            <p class="quiet" role="status">
              Loading …
            </p>
          )}
    </>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p>
        <strong>{title}</strong>
      </p>
      {children}
    </div>
  );
}

export function Heading({ title, children }: { title: string; children?: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  // A new page begins at its title, for eyes and for screen readers.
  useEffect(() => {
    document.title = `${title} · Luthier`;
    heading.current?.focus({ preventScroll: true });
  }, []);
  useEffect(() => void (document.title = `${title} · Luthier`), [title]);
  return (
    <header class="heading">
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      <div class="actions">{children}</div>
    </header>
  );
}

const GOOD = ["completed", "active", "enabled", "delivered", "processed", "ready", "succeeded"];
const BAD = ["failed", "error", "exhausted", "disabled", "revoked"];
const MOVING = ["running", "queued", "deploying", "pausing", "deleting", "pending", "uploaded"];

export function Status({ status }: { status: string }) {
  const tone = GOOD.includes(status)
    ? "good"
    : BAD.includes(status)
      ? "bad"
      : MOVING.includes(status)
        ? "moving"
        : "still";
  return <span class={`status ${tone}`}>{status}</span>;
}

export function When({ time }: { time: string | number | null | undefined }) {
  return <time title={moment(time)}>{ago(time)}</time>;
}

export function Bar({ percent, label }: { percent: number | null | undefined; label: string }) {
  if (percent == null) return <span class="quiet">–</span>;
  return (
    <span class="bar">
      <progress max={100} value={percent} aria-label={label} />
      <span>{Math.round(percent)} %</span>
    </span>
  );
}

/** A button for one thing that the server does. */
export function Do({
  act,
  work,
  children,
  confirm,
  kind,
}: {
  act: Act;
  work: Parameters<Act["run"]>[0];
  children: ComponentChildren;
  confirm?: string;
  kind?: "main" | "danger";
}) {
  const press = (): void => {
    if (!confirm || window.confirm(confirm)) void act.run(work);
  };
  return (
    <button type="button" class={kind} disabled={act.busy} aria-busy={act.busy} onClick={press}>
      {children}
    </button>
  );
}

export function Facts({ rows }: { rows: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value ?? "–"}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Table({ name, heads, children }: { name: string; heads: string[]; children: ComponentChildren }) {
  return (
    // Wide tables scroll, which the keyboard has to reach too.
    <div class="scroll" role="region" aria-label={name} tabIndex={0}>
      <table>
        <caption class="hidden">{name}</caption>
        <thead>
          <tr>
            {heads.map((head) => (
              <th scope="col" key={head}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

export function Field({
  label,
  hint,
  children,
}: {
  label: string;
  hint?: string;
  children: (id: string) => ComponentChildren;
}) {
  const [id] = useState(() => `f${Math.random().toString(36).slice(2)}`);
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(id)}
      {hint && <small>{hint}</small>}
    </div>
  );
}

/** A form whose values are read by name when it is sent. */
export function Form({
  send,
  children,
  ...rest
}: {
  send: (values: FormData, form: HTMLFormElement) => void;
  children: ComponentChildren;
} & Omit<JSX.HTMLAttributes<HTMLFormElement>, "onSubmit">) {
  const submit = (event: JSX.TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    send(new FormData(event.currentTarget), event.currentTarget);
  };
  return (
    <form {...rest} onSubmit={submit}>
      {children}
    </form>
  );
}

/** A secret that is shown once. */
export function Once({ title, value, close }: { title: string; value: string; close: () => void }) {
  const [copied, setCopied] = useState(false);
  return (
    <div class="told lasting" role="alert">
      <strong>{title}</strong> It is shown only now: <code class="secret">{value}</code>
      <button type="button" onClick={() => void navigator.clipboard.writeText(value).then(() => setCopied(true))}>
        {copied ? "Copied" : "Copy"}
      </button>
      <button type="button" onClick={close}>
        Done
      </button>
    </div>
  );
}

export function Json({ value }: { value: unknown }) {
  return <pre tabIndex={0}>{JSON.stringify(value, null, 2)}</pre>;
}

/** A name with suggestions: an installation may know more names than it lists. */
export function Named({
  id,
  name,
  value,
  change,
  children,
}: {
  id: string;
  name: string;
  value?: string;
  change?: (value: string) => void;
  children: ComponentChildren;
}) {
  return (
    <>
      <input
        id={id}
        name={name}
        list={`${id}-known`}
        required
        autocomplete="off"
        value={value}
        onInput={(event) => change?.(event.currentTarget.value)}
      />
      <datalist id={`${id}-known`}>{children}</datalist>
    </>
  );
}
