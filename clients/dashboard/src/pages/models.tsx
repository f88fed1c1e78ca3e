/** Trained models, their versions, and the way to a comparison. */

import { useState } from "preact/hooks";

import { bytes, loss, number } from "../format.js";
import { useAct, useLive } from "../live.js";
import { Do, Empty, Facts, Heading, Json, Shown, Status, Table, Told, When } from "../parts.js";
import { href } from "../route.js";
import { useClient } from "../session.js";

const MOST = 10;

export function Models() {
  const client = useClient();
  const [chosen, setChosen] = useState<string[]>([]);
  const live = useLive((options) => client.training.models.list({ limit: 100 }, options), 15_000, [client]);
  const choose = (id: string): void =>
    setChosen(chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id]);
  const few = chosen.length < 2 || chosen.length > MOST;
  return (
    <>
      <Heading title="Models">
        <button
          type="button"
          class="main"
          disabled={few}
          onClick={() => void (location.hash = href("compare", null, { models: chosen.join(",") }))}
        >
          {few ? "Choose two to compare" : `Compare ${chosen.length}`}
        </button>
      </Heading>
      <Shown live={live}>
        {(models) =>
          models.length === 0 ? (
            <Empty title="No models yet.">
              <p>
                A job that completes leaves one here. <a href={href("new-job")}>Create a job</a>
              </p>
            </Empty>
          ) : (
            <Table
              name="Models"
              heads={["Compare", "Name", "Version", "Base model", "Status", "Loss", "Size", "Deployed", "Made"]}
            >
              {models.map((model) => (
                <tr key={model.id}>
                  <td>
                    <input
                      type="checkbox"
                      aria-label={`Compare ${model.name}`}
                      checked={chosen.includes(model.id)}
                      onChange={() => choose(model.id)}
                    />
                  </td>
                  <td>
                    <a href={href("models", model.id)}>{model.name}</a>
                  </td>
                  <td>{model.version ?? "–"}</td>
                  <td>{model.baseModel}</td>
                  <td>
                    <Status status={model.status} />
                  </td>
                  <td>{loss(model.metrics.finalLoss)}</td>
                  <td>{bytes(model.size.bytes)}</td>
                  <td>{model.deployments.active || "–"}</td>
                  <td>
                    <When time={model.createdAt} />
                  </td>
                </tr>
              ))}
            </Table>
          )
        }
      </Shown>
    </>
  );
}

export function Model({ id }: { id: string }) {
  const client = useClient();
  const live = useLive(
    async (options) => {
      const model = await client.training.models.get(id, options);
      const versions = await client.training.versions.list(model.id, {}, options);
      return { model, versions };
    },
    15_000,
    [client, id],
  );
  const act = useAct();
  return (
    <>
      <Heading title={live.data?.model.name ?? "Model"}>
        {live.data && (
          <>
            <Do
              act={act}
              kind="main"
              work={(options) =>
                client.training.models
                  .deploy(live.data!.model.id, {}, options)
                  .then(() => void (location.hash = href("deployments")))
              }
            >
              Deploy
            </Do>
            <a class="button" href={href("playground", null, { a: live.data.model.name })}>
              Try it
            </a>
          </>
        )}
      </Heading>
      <Told trouble={act.trouble} />
      <Shown live={live}>
        {({ model, versions }) => (
          <>
            {model.description && <p>{model.description}</p>}
            <Facts
              rows={[
                ["Status", <Status status={model.status} />],
                ["Base model", model.baseModel],
                ["Version", model.version],
                ["Job", model.trainingJobId && <a href={href("jobs", model.trainingJobId)}>{model.trainingJobId}</a>],
                ["Training loss", loss(model.metrics.training?.final_loss)],
                ["Validation loss", loss(model.metrics.validation?.loss)],
                ["Size", bytes(model.size.bytes)],
                ["Trainable parameters", number(model.size.trainableParameters)],
                ["Also called", model.names.join(", ")],
                ["Tags", model.tags.join(", ") || null],
              ]}
            />
            <h2>Versions</h2>
            {versions.length === 0 ? (
              <p class="quiet">Only this one.</p>
            ) : (
              <>
                <Table
                  name="Versions"
                  heads={["Version", "Name", "Training loss", "Validation loss", "Changes", "Made"]}
                >
                  {versions.map((one) => (
                    <tr key={one.id}>
                      <td>{one.version ?? "–"}</td>
                      <td>{one.id === model.id ? one.name : <a href={href("models", one.id)}>{one.name}</a>}</td>
                      <td>{loss(one.metrics.training?.final_loss)}</td>
                      <td>{loss(one.metrics.validation?.loss)}</td>
                      <td>{one.changelog.join(" ") || "–"}</td>
                      <td>
                        <When time={one.createdAt} />
                      </td>
                    </tr>
                  ))}
                </Table>
                {versions.length > 1 && (
                  <p>
                    <a
                      class="button"
                      href={href("compare", null, {
                        models: versions
                          .slice(0, MOST)
                          .map((one) => one.id)
                          .join(","),
                      })}
                    >
                      Compare the versions
                    </a>
                  </p>
                )}
              </>
            )}
            <h2>Files</h2>
            <Table name="Files" heads={["Name", "Size", "SHA-256"]}>
              {model.files.map((file) => (
                <tr key={file.name}>
                  <td>{file.name}</td>
                  <td>{bytes(file.size)}</td>
                  <td>
                    <code>{file.checksum}</code>
                  </td>
                </tr>
              ))}
            </Table>
            <details>
              <summary>Everything about it</summary>
              <Json value={model} />
            </details>
          </>
        )}
      </Shown>
    </>
  );
}
