/** All jobs, newest first; those that move show how. */

import { useRef } from "preact/hooks";

import { Spark } from "../chart.js";
import type { Answer, CallOptions, Luthier } from "../client.js";
import { money } from "../format.js";
import { useLive } from "../live.js";
import { Bar, Empty, Heading, Shown, Status, Table, When } from "../parts.js";
import { href } from "../route.js";
import { useClient } from "../session.js";
import { pace } from "../trouble.js";

const PAGE = 20;
const STATUSES = ["queued", "running", "completed", "failed", "stopped"];
type Row = Answer<"JobRow">;
interface Known {
  /** When the job last changed, as it was then. */
  at: string;
  job: Answer<"FineTuningJob">;
  steps: Answer<"MetricsStep">[];
}

export function moves(status: string): boolean {
  return status === "queued" || status === "running";
}

/** Rows carry neither progress nor cost, so each job is asked for, and only again when it has changed. */
async function look(client: Luthier, row: Row, known: Map<string, Known>, options: CallOptions): Promise<void> {
  const kept = known.get(row.id);
  if (kept && kept.at === row.updatedAt && !moves(row.status)) return;
  const [job, measured] = await Promise.all([
    client.fineTuning.jobs.get(row.id, options),
    client.fineTuning.jobs.metrics(row.id, options),
  ]);
  known.set(row.id, { at: row.updatedAt, job, steps: measured.metrics.steps });
}

export function Jobs({ query }: { query: URLSearchParams }) {
  const client = useClient();
  const known = useRef(new Map<string, Known>());
  const status = query.get("status") ?? "";
  const offset = Number(query.get("offset")) || 0;
  const live = useLive(
    async (options) => {
      const rows = await client.fineTuning.jobs.list({ limit: PAGE, offset, ...(status && { status }) }, options);
      await Promise.all(rows.map((row) => look(client, row, known.current, options)));
      return rows;
    },
    (rows) => {
      const moving = rows.filter((row) => moves(row.status)).length;
      return moving ? pace(1 + 2 * moving) : 10_000;
    },
    [client, status, offset],
  );
  const turn = (to: number): string =>
    href("jobs", null, { ...(status && { status }), ...(to > 0 && { offset: String(to) }) });
  return (
    <>
      <Heading title="Jobs">
        <a class="button main" href={href("new-job")}>
          New job
        </a>
      </Heading>
      <nav class="row" aria-label="By status">
        {["", ...STATUSES].map((one) => (
          <a
            key={one}
            class="button"
            aria-current={one === status ? "true" : undefined}
            href={href("jobs", null, one ? { status: one } : {})}
          >
            {one || "all"}
          </a>
        ))}
      </nav>
      <br />
      <Shown live={live}>
        {(rows) =>
          rows.length === 0 ? (
            <Empty title={status ? `No job is ${status}.` : "No jobs yet."}>
              <p>A job takes a base model and a file of examples, and yields a model that is yours.</p>
              <a class="button main" href={href("new-job")}>
                Create the first one
              </a>
            </Empty>
          ) : (
            <>
              <Table
                name="Jobs"
                heads={["Name", "Status", "Phase", "Progress", "Loss", "Cost", "Base model", "Created"]}
              >
                {rows.map((row) => (
                  <JobRow key={row.id} row={row} known={known.current.get(row.id)} />
                ))}
              </Table>
              <p class="row">
                {offset > 0 && (
                  <a class="button" href={turn(offset - PAGE)}>
                    Newer
                  </a>
                )}
                {(rows.total ?? 0) > offset + PAGE && (
                  <a class="button" href={turn(offset + PAGE)}>
                    Older
                  </a>
                )}
                <span class="quiet">
                  {offset + 1} to {offset + rows.length} of {rows.total ?? "?"}
                </span>
              </p>
            </>
          )
        }
      </Shown>
    </>
  );
}

function JobRow({ row, known }: { row: Row; known: Known | undefined }) {
  const job = known?.job;
  return (
    <tr data-job={row.id}>
      <td>
        <a href={href("jobs", row.id)}>{row.name}</a>
      </td>
      <td>
        <Status status={row.status} />
      </td>
      <td>{job?.phase ?? "–"}</td>
      <td>
        <Bar percent={row.status === "completed" ? 100 : job?.progress?.percent} label={`Progress of ${row.name}`} />
      </td>
      <td>{known ? <Spark steps={known.steps} /> : "–"}</td>
      <td>
        {money(job?.cost.accrued ?? job?.cost.estimate)}
        {job && job.cost.accrued == null && job.cost.estimate != null && <small> estimated</small>}
      </td>
      <td>{row.baseModel}</td>
      <td>
        <When time={row.createdAt} />
      </td>
    </tr>
  );
}
