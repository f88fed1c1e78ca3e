/** A form for a job: what is needed, and what people change most. */

import { useState } from "preact/hooks";

import { money, duration } from "../format.js";
import { useAct, useLive } from "../live.js";
import { Field, Form, Heading, Named, Shown, Told } from "../parts.js";
import { href } from "../route.js";
import { useClient } from "../session.js";
import { wishOf } from "../wish.js";

const NEW = "new";

export function NewJob() {
  const client = useClient();
  const live = useLive(
    async (options) => {
      const [bases, models, files] = await Promise.all([
        client.fineTuning.baseModels(options),
        client.training.models.list({ limit: 50 }, options),
        client.files.list({ purpose: "fine-tune", limit: 50 } as never, options),
      ]);
      return { bases, models, files: files.filter((file) => file.status === "processed") };
    },
    null,
    [client],
  );
  const [base, setBase] = useState("");
  const [file, setFile] = useState("");
  const act = useAct();
  const send = (values: FormData): void => {
    const upload = values.get("upload");
    let uploaded = file === NEW ? "" : file;
    void act.run(async (options) => {
      // A second try goes on with the file that the first one brought.
      if (!uploaded && upload instanceof File) {
        const { signal } = options;
        const made = await client.files.upload(upload, { filename: upload.name, ...(signal && { signal }) });
        uploaded = (await client.files.wait(made.id, signal ? { signal } : {})).id;
      }
      const job = await client.fineTuning.jobs.create(wishOf(values, uploaded) as never, options);
      location.hash = href("jobs", job.id);
    });
  };
  return (
    <>
      <Heading title="New job" />
      <Shown live={live}>
        {({ bases, models, files }) => {
          const rows = files.find((one) => one.id === file)?.rows;
          return (
            <Form send={send}>
              <Field label="Name">{(id) => <input id={id} name="name" required maxLength={100} />}</Field>
              <Field label="Model to start from" hint="A base model, or one of yours, whose training then goes on.">
                {(id) => (
                  <Named id={id} name="baseModel" value={base} change={setBase}>
                    {bases.map((one) => (
                      <option key={one.id} value={one.id}>
                        {one.name}
                      </option>
                    ))}
                    {models.map((one) => (
                      <option key={one.id} value={one.name} />
                    ))}
                  </Named>
                )}
              </Field>
              <Field label="Examples" hint="JSONL, one example a line, up to 1 GB.">
                {(id) => (
                  <select id={id} required value={file} onChange={(event) => setFile(event.currentTarget.value)}>
                    <option value="">Choose …</option>
                    <option value={NEW}>Upload a file</option>
                    {files.map((one) => (
                      <option key={one.id} value={one.id}>
                        {one.filename} ({one.rows} rows)
                      </option>
                    ))}
                  </select>
                )}
              </Field>
              {file === NEW && (
                <Field label="File">
                  {(id) => <input id={id} name="upload" type="file" required accept=".jsonl" />}
                </Field>
              )}
              <div class="inline">
                <Field label="Method">
                  {(id) => (
                    <select id={id} name="method">
                      {["sft", "dpo", "orpo", "kto"].map((one) => (
                        <option key={one}>{one}</option>
                      ))}
                    </select>
                  )}
                </Field>
                <Field label="Epochs">
                  {(id) => <input id={id} name="epochs" type="number" min={1} placeholder="standard" />}
                </Field>
                <Field label="Learning rate">
                  {(id) => (
                    <input id={id} name="learningRate" type="number" min={0} step="any" placeholder="standard" />
                  )}
                </Field>
                <Field label="Batch size">
                  {(id) => <input id={id} name="batchSize" type="number" min={1} placeholder="standard" />}
                </Field>
                <Field label="Suffix of the model's name">
                  {(id) => <input id={id} name="suffix" maxLength={64} />}
                </Field>
                <Field label="Cap on the cost, $">
                  {(id) => <input id={id} name="maxCost" type="number" min={0} step="any" placeholder="none" />}
                </Field>
              </div>
              {rows && bases.some((one) => one.id === base) ? <Estimate base={base} rows={rows} /> : null}
              <Told trouble={act.trouble} />
              <button class="main" disabled={act.busy} aria-busy={act.busy}>
                {act.busy ? "Creating …" : "Create the job"}
              </button>
            </Form>
          );
        }}
      </Shown>
    </>
  );
}

function Estimate({ base, rows }: { base: string; rows: number }) {
  const client = useClient();
  const live = useLive(
    (options) => client.fineTuning.estimateCost({ baseModel: base, datasetSize: rows }, options),
    null,
    [client, base, rows],
  );
  return (
    <Shown live={live}>
      {(found) => (
        <p role="status">
          With the standard settings about {money(found.estimatedCost)} and {duration(found.estimatedTimeMinutes * 60)}{" "}
          on {found.hardware}.
        </p>
      )}
    </Shown>
  );
}
