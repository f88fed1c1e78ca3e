/** Who hears about events, what was sent to them, and sending it again. */

import { useState } from "preact/hooks";

import type { Answer } from "../client.js";
import { useAct, useLive } from "../live.js";
import { Do, Empty, Facts, Field, Form, Heading, Json, Once, Shown, Status, Table, Told, When } from "../parts.js";
import { href } from "../route.js";
import { useClient } from "../session.js";

export function Webhooks() {
  const client = useClient();
  const live = useLive((options) => client.webhooks.list(options), 10_000, [client]);
  const [made, setMade] = useState<Answer<"WebhookWithSecret"> | null>(null);
  return (
    <>
      <Heading title="Webhooks" />
      {made && <Once title={`The secret of ${made.name}.`} value={made.secret} close={() => setMade(null)} />}
      <Shown live={live}>
        {(rows) =>
          rows.length === 0 ? (
            <Empty title="Nobody is told of events yet.">
              <p>Register an address below, and it gets every event, signed.</p>
            </Empty>
          ) : (
            <Table name="Webhooks" heads={["Name", "Address", "Events", "Status"]}>
              {rows.map((row) => (
                <tr key={row.id}>
                  <td>
                    <a href={href("webhooks", row.id)}>{row.name || row.id}</a>
                  </td>
                  <td>{row.url ?? "of each job"}</td>
                  <td>{row.events.join(", ")}</td>
                  <td>
                    <Status status={row.status} />
                  </td>
                </tr>
              ))}
            </Table>
          )
        }
      </Shown>
      <Register
        made={(webhook) => {
          setMade(webhook);
          live.again();
        }}
      />
    </>
  );
}

function Register({ made }: { made: (webhook: Answer<"WebhookWithSecret">) => void }) {
  const client = useClient();
  const act = useAct();
  const send = (values: FormData, form: HTMLFormElement): void => {
    const events = String(values.get("events"))
      .split(/[\s,]+/)
      .filter(Boolean);
    const wish = { url: String(values.get("url")), name: String(values.get("name")), ...(events.length && { events }) };
    void act.run(async (options) => {
      made(await client.webhooks.create(wish, options));
      form.reset();
    });
  };
  return (
    <section>
      <h2>Register an address</h2>
      <Form send={send} class="inline">
        <Field label="Name">{(id) => <input id={id} name="name" required />}</Field>
        <Field label="Address">{(id) => <input id={id} name="url" type="url" required placeholder="https://" />}</Field>
        <Field label="Events" hint="Empty: all of them.">
          {(id) => <input id={id} name="events" placeholder="training.completed" />}
        </Field>
        <Told trouble={act.trouble} />
        <button class="main" disabled={act.busy} aria-busy={act.busy}>
          Register
        </button>
      </Form>
    </section>
  );
}

export function Webhook({ id }: { id: string }) {
  const client = useClient();
  const live = useLive(
    async (options) => {
      const [webhook, deliveries] = await Promise.all([
        client.webhooks.get(id, options),
        client.webhooks.deliveries.list(id, { limit: 50 }, options),
      ]);
      return { webhook, deliveries };
    },
    ({ deliveries }) => (deliveries.some((one) => one.status === "pending") ? 2_000 : 5_000),
    [client, id],
  );
  const act = useAct(live.again);
  const [tested, setTested] = useState<Answer<"WebhookTested"> | null>(null);
  const [secret, setSecret] = useState<string | null>(null);
  const shown = live.data?.webhook;
  return (
    <>
      <Heading title={shown?.name || "Webhook"}>
        <Do act={act} kind="main" work={async (options) => setTested(await client.webhooks.test(id, {}, options))}>
          Send test event
        </Do>
        {shown?.status === "disabled" && (
          <Do act={act} work={(options) => client.webhooks.update(id, { status: "enabled" } as never, options)}>
            Enable
          </Do>
        )}
        <Do act={act} work={async (options) => setSecret((await client.webhooks.rotateSecret(id, {}, options)).secret)}>
          Rotate the secret
        </Do>
        <Do
          act={act}
          kind="danger"
          confirm="Delete this webhook?"
          work={(options) => client.webhooks.delete(id, options).then(() => void (location.hash = href("webhooks")))}
        >
          Delete
        </Do>
      </Heading>
      <Told trouble={act.trouble} />
      {secret && <Once title="The new secret." value={secret} close={() => setSecret(null)} />}
      {tested && (
        <p class={`told ${tested.success ? "passing" : "lasting"}`} role="status">
          {tested.success
            ? `Delivered: ${tested.event} was answered with ${tested.statusCode} in ${tested.milliseconds} ms.`
            : `Not delivered: ${tested.error ?? `answered with ${tested.statusCode}`}`}
        </p>
      )}
      <Shown live={live}>
        {({ webhook, deliveries }) => (
          <>
            <Facts
              rows={[
                ["Status", <Status status={webhook.status} />],
                ["Address", webhook.url],
                ["Events", webhook.events.join(", ")],
                ["Secret", <code>{webhook.secretHint}</code>],
                ["Failing since", webhook.failingSince && <When time={webhook.failingSince} />],
                ["Disabled because", webhook.disabledReason],
              ]}
            />
            <h2>Deliveries</h2>
            <Since webhook={id} again={live.again} />
            {deliveries.length === 0 ? (
              <Empty title="Nothing was sent yet." />
            ) : (
              <Table name="Deliveries" heads={["Event", "Status", "Tries", "Last answer", "When", "Do"]}>
                {deliveries.map((one) => (
                  <Delivery key={one.id} webhook={id} delivery={one} again={live.again} />
                ))}
              </Table>
            )}
          </>
        )}
      </Shown>
    </>
  );
}

/** For a receiver that was away: everything again, but tests. */
function Since({ webhook, again }: { webhook: string; again: () => void }) {
  const client = useClient();
  const act = useAct(again);
  const [sent, setSent] = useState<number | null>(null);
  const send = (values: FormData): void => {
    const since = new Date(String(values.get("since"))).toISOString();
    void act.run(async (options) => setSent((await client.webhooks.replay(webhook, { since }, options)).replayed));
  };
  return (
    <Form send={send} class="inline">
      <Field label="Send everything again since">
        {(id) => <input id={id} name="since" type="datetime-local" required />}
      </Field>
      <Told trouble={act.trouble} />
      <button disabled={act.busy} aria-busy={act.busy}>
        Send
      </button>
      {sent !== null && <p role="status">{sent} are sent again.</p>}
    </Form>
  );
}

function Delivery({
  webhook,
  delivery,
  again,
}: {
  webhook: string;
  delivery: Answer<"WebhookDelivery">;
  again: () => void;
}) {
  const client = useClient();
  const act = useAct(again);
  const [open, setOpen] = useState(false);
  const last = delivery.attempts.at(-1);
  return (
    <>
      <tr data-delivery={delivery.id}>
        <td>
          {delivery.event}
          {delivery.test && <small> (test)</small>}
        </td>
        <td>
          <Status status={delivery.status} />
          {delivery.reason && <small> {delivery.reason}</small>}
        </td>
        <td>{delivery.tries}</td>
        <td>{last ? (last.error ?? `${last.statusCode} in ${last.milliseconds} ms`) : "–"}</td>
        <td>
          <When time={delivery.eventAt} />
        </td>
        <td>
          <div class="row">
            {/* A test is sent once, and what is pending goes on by itself. */}
            {!delivery.test && delivery.status !== "pending" && (
              <Do act={act} work={(options) => client.webhooks.deliveries.replay(webhook, delivery.id, options)}>
                Send again
              </Do>
            )}
            <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
              Details
            </button>
          </div>
          <Told trouble={act.trouble} />
        </td>
      </tr>
      {open && (
        <tr>
          <td colSpan={6}>
            <Details webhook={webhook} id={delivery.id} />
          </td>
        </tr>
      )}
    </>
  );
}

function Details({ webhook, id }: { webhook: string; id: string }) {
  const client = useClient();
  const live = useLive((options) => client.webhooks.deliveries.get(webhook, id, options), null, [client, webhook, id]);
  return <Shown live={live}>{(found) => <Json value={found} />}</Shown>;
}
