/** What is deployed, how it is, and what it costs while it is there. */

import type { Answer } from "../client.js";
import { money } from "../format.js";
import { useAct, useLive } from "../live.js";
import { Do, Empty, Field, Form, Heading, Named, Shown, Status, Table, Told, When } from "../parts.js";
import { href } from "../route.js";
import { useClient } from "../session.js";

const SETTLED = ["active", "paused", "failed"];

export function Deployments() {
  const client = useClient();
  const live = useLive(
    (options) => client.training.deployments.list({ limit: 100 }, options),
    (rows) => (rows.every((row) => SETTLED.includes(row.status)) ? 10_000 : 2_000),
    [client],
  );
  return (
    <>
      <Heading title="Deployments" />
      <Shown live={live}>
        {(rows) =>
          rows.length === 0 ? (
            <Empty title="Nothing is deployed, and nothing costs.">
              <p>Deploy a model from its page, and it answers under its name.</p>
              <a class="button main" href={href("models")}>
                To the models
              </a>
            </Empty>
          ) : (
            <Table
              name="Deployments"
              heads={["Name", "Model", "Status", "Adapter", "Where", "Cost an hour", "Since", "Do"]}
            >
              {rows.map((row) => (
                <Row key={row.id} row={row} again={live.again} />
              ))}
            </Table>
          )
        }
      </Shown>
      <DeployBase again={live.again} />
    </>
  );
}

/** The playground compares a tuned model with the one that it came from. */
function DeployBase({ again }: { again: () => void }) {
  const client = useClient();
  const live = useLive((options) => client.fineTuning.baseModels(options), null, [client]);
  const act = useAct(again);
  const send = (values: FormData): void => {
    void act.run((options) => client.training.models.deploy(String(values.get("base")), {}, options));
  };
  return (
    <section>
      <h2>Deploy a base model</h2>
      <Shown live={live}>
        {(bases) => (
          <Form send={send} class="inline">
            <Field label="Base model">
              {(id) => (
                <Named id={id} name="base">
                  {bases.map((one) => (
                    <option key={one.id} value={one.id}>
                      {one.name}
                    </option>
                  ))}
                </Named>
              )}
            </Field>
            <Told trouble={act.trouble} />
            <button disabled={act.busy} aria-busy={act.busy}>
              Deploy it
            </button>
          </Form>
        )}
      </Shown>
    </section>
  );
}

function Row({ row, again }: { row: Answer<"DeploymentObject">; again: () => void }) {
  const { training } = useClient();
  const act = useAct(again);
  const adapter =
    row.kind === "shared"
      ? row.status === "active"
        ? "loaded and proven"
        : row.status === "deploying"
          ? "being loaded"
          : "not loaded"
      : "endpoint of its own";
  return (
    <tr data-deployment={row.id}>
      <td>{row.name}</td>
      <td>
        {row.modelId.startsWith("model_") ? <a href={href("models", row.modelId)}>{row.modelId}</a> : row.modelId}
      </td>
      <td>
        <Status status={row.status} />
        {row.error && (
          <>
            <br />
            <small>{row.error.message}</small>
          </>
        )}
      </td>
      <td>
        {adapter}
        {row.updating && <small> (being changed)</small>}
      </td>
      <td>
        {row.configuration.gpuType}, {row.kind}
      </td>
      <td>
        {money(row.costPerHour)}
        {row.kind === "shared" && <small> for all that share the machine</small>}
      </td>
      <td>
        <When time={row.createdAt} />
      </td>
      <td>
        <div class="row">
          {row.status === "active" && (
            <a class="button" href={href("playground", null, { a: row.id })}>
              Try it
            </a>
          )}
          {row.status === "active" && (
            <Do act={act} work={(options) => training.deployments.pause(row.id, options)}>
              Pause
            </Do>
          )}
          {row.status === "paused" && (
            <Do act={act} work={(options) => training.deployments.resume(row.id, options)}>
              Resume
            </Do>
          )}
          {row.status !== "deleting" && (
            <Do
              act={act}
              kind="danger"
              confirm={`Delete the deployment ${row.name}? Its model stays.`}
              work={(options) => training.deployments.delete(row.id, options)}
            >
              Delete
            </Do>
          )}
        </div>
        <Told trouble={act.trouble} />
      </td>
    </tr>
  );
}
