/** The shell: who asks, which page, and what leads to the others. */

import { useEffect, useMemo, useState } from "preact/hooks";

import type { JSX } from "preact";

import { Field, Form, Told } from "./parts.js";
import { keyRefused, useAct } from "./live.js";
import { href, parse, type Route } from "./route.js";
import { Client, clientOf, keepKey, keptKey } from "./session.js";
import { PermissionDenied } from "./client.js";
import { Account } from "./pages/account.js";
import { Compare } from "./pages/compare.js";
import { Deployments } from "./pages/deployments.js";
import { Job } from "./pages/job.js";
import { Jobs } from "./pages/jobs.js";
import { NewJob } from "./pages/new_job.js";
import { Model, Models } from "./pages/models.js";
import { Playground } from "./pages/playground.js";
import { Webhook, Webhooks } from "./pages/webhooks.js";

const MENU: [string, string][] = [
  ["jobs", "Jobs"],
  ["models", "Models"],
  ["deployments", "Deployments"],
  ["playground", "Playground"],
  ["webhooks", "Webhooks"],
  ["account", "Keys and credits"],
];

function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const moved = (): void => setHash(location.hash);
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return useMemo(() => parse(hash), [hash]);
}

function Page({ route }: { route: Route }): JSX.Element {
  const { page, id, query } = route;
  if (page === "jobs") return id === null ? <Jobs query={query} /> : <Job id={id} />;
  if (page === "new-job") return <NewJob />;
  if (page === "models") return id === null ? <Models /> : <Model id={id} />;
  if (page === "compare") return <Compare query={query} />;
  if (page === "deployments") return <Deployments />;
  if (page === "playground") return <Playground query={query} />;
  if (page === "webhooks") return id === null ? <Webhooks /> : <Webhook id={id} />;
  if (page === "account") return <Account />;
  return (
    <p>
      There is no page “{page}”. <a href={href("jobs")}>To the jobs</a>
    </p>
  );
}

function AskForKey({ refused, enter }: { refused: boolean; enter: (key: string) => void }) {
  const act = useAct();
  const send = (values: FormData): void => {
    const key = String(values.get("key")).trim();
    void act.run(async (options) => {
      try {
        await clientOf(key).fineTuning.stats(options);
      } catch (error) {
        // A key without the scope for jobs is a key nevertheless.
        if (!(error instanceof PermissionDenied)) throw error;
      }
      enter(key);
    });
  };
  return (
    <main class="door">
      <h1>Luthier</h1>
      {refused && !act.trouble && (
        <div class="told lasting" role="alert">
          <strong>This key is not valid any more.</strong> It was revoked, replaced or has expired. Enter another one;
          you stay on this page.
        </div>
      )}
      <Form send={send}>
        <Field label="API key" hint="Kept in this tab only, until you close it or sign out.">
          {(id) => (
            <input
              id={id}
              name="key"
              type="password"
              required
              autocomplete="off"
              spellcheck={false}
              placeholder="lt_…"
            />
          )}
        </Field>
        <Told trouble={act.trouble} />
        <button class="main" disabled={act.busy} aria-busy={act.busy}>
          {act.busy ? "Checking …" : "Sign in"}
        </button>
      </Form>
      <p class="quiet">
        An operator makes one with <code>luthier keys create</code>; on one machine it stands in{" "}
        <code>.luthier/env</code>.
      </p>
    </main>
  );
}

export function App() {
  const [key, setKey] = useState(keptKey);
  const [refused, setRefused] = useState(false);
  const route = useRoute();
  const client = useMemo(() => (key === null ? null : clientOf(key)), [key]);
  const leave = (because: boolean): void => {
    keepKey(null);
    setKey(null);
    setRefused(because);
  };
  keyRefused.tell = () => key !== null && leave(true);
  const enter = (given: string): void => {
    keepKey(given);
    setKey(given);
    setRefused(false);
  };
  if (client === null) return <AskForKey refused={refused} enter={enter} />;
  return (
    <Client.Provider value={client}>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          document.querySelector<HTMLElement>("main h1")?.focus();
        }}
      >
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href={href("jobs")}>
          Luthier
        </a>
        <nav aria-label="Pages">
          {MENU.map(([page, name]) => (
            <a key={page} href={href(page)} aria-current={opens(route.page) === page ? "page" : undefined}>
              {name}
            </a>
          ))}
        </nav>
        <button type="button" onClick={() => leave(false)}>
          Sign out
        </button>
      </header>
      <main id="main">
        <Page key={`${route.page}/${route.id}`} route={route} />
      </main>
    </Client.Provider>
  );
}

/** The menu entry that a page belongs to. */
function opens(page: string): string {
  return { "new-job": "jobs", compare: "models" }[page] ?? page;
}
