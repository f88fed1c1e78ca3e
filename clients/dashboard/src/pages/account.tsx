/** Keys, credits and what was used. */

import { useState } from "preact/hooks";

import type { Answer } from "../client.js";
import { cents, number } from "../format.js";
import { useAct, useLive } from "../live.js";
import { Do, Empty, Facts, Field, Form, Heading, Once, Shown, Status, Table, Told, When } from "../parts.js";
import { useClient } from "../session.js";

export function Account() {
  return (
    <>
      <Heading title="Keys and credits" />
      <Credits />
      <Usage />
      <Keys />
    </>
  );
}

function Credits() {
  const client = useClient();
  const live = useLive(
    async (options) => {
      const [credits, ledger] = await Promise.all([
        client.organization.credits(options),
        client.organization.ledger({ limit: 20 }, options),
      ]);
      return { credits, ledger };
    },
    15_000,
    [client],
  );
  return (
    <section aria-label="Credits">
      <h2>Credits</h2>
      <Shown live={live}>
        {({ credits, ledger }) => (
          <>
            {!credits.billing && (
              <p class="quiet">This installation does not charge: costs are shown, and no credits are needed.</p>
            )}
            <Facts
              rows={[
                ["Available", cents(credits.availableCents)],
                ["Held for jobs", cents(credits.heldCents)],
                ["Balance", cents(credits.balanceCents)],
              ]}
            />
            {ledger.length > 0 && (
              <Table name="Ledger" heads={["When", "What", "Amount", "Held", "Balance", "For"]}>
                {ledger.map((row) => (
                  <tr key={row.id}>
                    <td>
                      <When time={row.createdAt} />
                    </td>
                    <td>{row.kind}</td>
                    <td>{cents(row.amountCents)}</td>
                    <td>{cents(row.heldCents)}</td>
                    <td>{cents(row.balanceAfterCents)}</td>
                    <td>{row.reference}</td>
                  </tr>
                ))}
              </Table>
            )}
          </>
        )}
      </Shown>
    </section>
  );
}

function Usage() {
  const client = useClient();
  const live = useLive((options) => client.organization.usage({ groupBy: "model" } as never, options), 30_000, [
    client,
  ]);
  return (
    <section aria-label="Usage">
      <h2>Usage</h2>
      <Shown live={live}>
        {(usage) =>
          usage.data.length === 0 ? (
            <Empty title="Nothing was used in the last month." />
          ) : (
            <Table name="Usage" heads={["Model", "Requests", "Tokens", "Machine seconds", "Cost"]}>
              {usage.data.map((row, at) => (
                <tr key={at}>
                  <td>{row.model ?? row.kind ?? "all"}</td>
                  <td>{number(row.requests)}</td>
                  <td>{number(row.totalTokens)}</td>
                  <td>{number(row.billedSeconds)}</td>
                  <td>{cents(row.costCents)}</td>
                </tr>
              ))}
            </Table>
          )
        }
      </Shown>
    </section>
  );
}

function Keys() {
  const client = useClient();
  const live = useLive((options) => client.organization.apiKeys.list({ limit: 100 }, options), 15_000, [client]);
  const [made, setMade] = useState<Answer<"KeyIssued"> | null>(null);
  const act = useAct(live.again);
  const send = (values: FormData, form: HTMLFormElement): void => {
    const scopes = String(values.get("scopes"))
      .split(/[\s,]+/)
      .filter(Boolean);
    void act.run(async (options) => {
      setMade(await client.organization.apiKeys.create({ name: String(values.get("name")), scopes } as never, options));
      form.reset();
    });
  };
  return (
    <section aria-label="Keys">
      <h2>Keys</h2>
      {made && <Once title={`The key ${made.name}.`} value={made.key} close={() => setMade(null)} />}
      <Shown live={live}>
        {(keys) => (
          <Table name="Keys" heads={["Name", "Begins with", "Scopes", "User", "Last used", "Ends", "Do"]}>
            {keys.map((key) => (
              <tr key={key.id}>
                <td>{key.name}</td>
                <td>
                  <code>{key.prefix}</code>
                </td>
                <td>{key.scopes.join(", ")}</td>
                <td>{key.userId}</td>
                <td>{key.lastUsedAt ? <When time={key.lastUsedAt} /> : "never"}</td>
                <td>
                  {key.revokedAt ? <Status status="revoked" /> : key.expiresAt ? <When time={key.expiresAt} /> : "–"}
                </td>
                <td>
                  {!key.revokedAt && (
                    <div class="row">
                      <Do
                        act={act}
                        work={async (options) => setMade(await client.organization.apiKeys.rotate(key.id, {}, options))}
                      >
                        Rotate
                      </Do>
                      <Do
                        act={act}
                        kind="danger"
                        confirm={`Revoke the key ${key.name}? Who uses it is refused within 30 seconds.`}
                        work={(options) => client.organization.apiKeys.revoke(key.id, options)}
                      >
                        Revoke
                      </Do>
                    </div>
                  )}
                </td>
              </tr>
            ))}
          </Table>
        )}
      </Shown>
      <Told trouble={act.trouble} />
      <h3>New key</h3>
      <Form send={send} class="inline">
        <Field label="Name">{(id) => <input id={id} name="name" required />}</Field>
        <Field label="Scopes" hint="With commas between them.">
          {(id) => <input id={id} name="scopes" required placeholder="fine-tuning:read" />}
        </Field>
        <button class="main" disabled={act.busy} aria-busy={act.busy}>
          Create
        </button>
      </Form>
    </section>
  );
}
