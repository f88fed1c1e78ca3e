/** One job: its curve, what happened, why it failed, and what can be done. */

import { useRef, useState } from "preact/hooks";

import { LossChart } from "../chart.js";
import type { Answer } from "../client.js";
import { duration, loss, money, number } from "../format.js";
import { useAct, useLive } from "../live.js";
import { Bar, Do, Empty, Facts, Heading, Json, Shown, Status, Table, Told, When } from "../parts.js";
import { href } from "../route.js";
import { useClient } from "../session.js";
import { moves } from "./jobs.js";

type FullJob = Answer<"FineTuningJob">;
const TABS = ["Events", "Log", "Dataset report", "Settings"] as const;

export function Job({ id }: { id: string }) {
  const client = useClient();
  const live = useLive(
    async (options) => {
      const [job, measured] = await Promise.all([
        client.fineTuning.jobs.get(id, options),
        client.fineTuning.jobs.metrics(id, options),
      ]);
      return { job, steps: measured.metrics.steps };
    },
    // A stopped job is not settled before it says when it finished.
    ({ job }) => (moves(job.status) || !job.finishedAt ? 1_500 : 15_000),
    [client, id],
  );
  return (
    <>
      <Heading title={live.data?.job.name ?? "Job"}>
        {live.data && <Actions job={live.data.job} again={live.again} />}
      </Heading>
      <Shown live={live}>
        {({ job, steps }) => (
          <>
            <Facts
              rows={[
                ["Status", <Status status={job.status} />],
                ["Phase", job.phase],
                [
                  "Progress",
                  <Bar percent={job.status === "completed" ? 100 : job.progress?.percent} label="Progress" />,
                ],
                [
                  "Step",
                  job.progress?.step != null ? `${job.progress.step} of ${number(job.progress.totalSteps)}` : null,
                ],
                ["Time left", moves(job.status) ? duration(job.progress?.secondsRemaining) : null],
                ["Cost so far", money(job.cost.accrued)],
                ["Estimate", money(job.cost.estimate)],
                ["Cap", money(job.cost.cap)],
                ["Training loss", loss(job.metrics.trainingLoss)],
                ["Validation loss", loss(job.metrics.validationLoss)],
                ["Tokens trained on", number(job.trainedTokens)],
                ["Result", job.resultModel && <a href={href("models", job.resultModel)}>{job.resultModel}</a>],
                ["Id", <code>{job.id}</code>],
              ]}
            />
            <Failure job={job} />
            {steps.length > 0 || moves(job.status) ? (
              <LossChart steps={steps} />
            ) : (
              <p class="quiet">No step was trained.</p>
            )}
            <Tabs job={job} />
          </>
        )}
      </Shown>
    </>
  );
}

function Actions({ job, again }: { job: FullJob; again: () => void }) {
  const { fineTuning } = useClient();
  const act = useAct(again);
  const suggested = job.statusReason?.suggestion;
  const ended = job.status === "failed" || job.status === "stopped";
  const result = job.resultModel;
  return (
    <>
      {moves(job.status) && (
        <Do
          act={act}
          kind="danger"
          confirm="Stop this job? It saves a checkpoint and can be restarted."
          work={(options) => fineTuning.jobs.stop(job.id, options)}
        >
          Stop
        </Do>
      )}
      {job.status === "failed" && (
        <Do
          act={act}
          kind="main"
          work={(options) => fineTuning.jobs.retry(job.id, { applySuggestion: Boolean(suggested) }, options)}
        >
          {suggested ? "Retry as suggested" : "Retry"}
        </Do>
      )}
      {ended && (
        <Do
          act={act}
          kind={job.status === "stopped" ? "main" : undefined!}
          work={(options) => fineTuning.jobs.restart(job.id, {}, options)}
        >
          {job.resumable?.value ? "Restart from the checkpoint" : "Restart"}
        </Do>
      )}
      {result && (
        <Do
          act={act}
          kind="main"
          work={(options) =>
            fineTuning.jobs.deploy(job.id, options).then(() => void (location.hash = href("deployments")))
          }
        >
          Deploy
        </Do>
      )}
      {(ended || job.status === "completed") && (
        <Do
          act={act}
          kind="danger"
          confirm="Delete this job? Its model stays."
          work={(options) => fineTuning.jobs.delete(job.id, options).then(() => void (location.hash = href("jobs")))}
        >
          Delete
        </Do>
      )}
      <Told trouble={act.trouble} />
    </>
  );
}

function Failure({ job }: { job: FullJob }) {
  const reason = job.statusReason ?? job.error;
  if (!reason) return null;
  return (
    <section class={`told ${job.status === "failed" ? "lasting" : "passing"}`} aria-label="Why">
      <strong>{reason.message}</strong> <code>{reason.code}</code>
      {reason.hint && (
        <p>
          <strong>What to do:</strong> {reason.hint}
        </p>
      )}
      {reason.suggestion && (
        <p>
          Suggested: <code>{JSON.stringify(reason.suggestion.hyperparameters)}</code>
        </p>
      )}
      {reason.evidence?.length ? (
        <details>
          <summary>Evidence</summary>
          <pre tabIndex={0}>{reason.evidence.join("\n")}</pre>
        </details>
      ) : null}
    </section>
  );
}

function Tabs({ job }: { job: FullJob }) {
  const [open, setOpen] = useState<string>(TABS[0]);
  const list = useRef<HTMLDivElement>(null);
  const move = (event: KeyboardEvent): void => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const at = (TABS.indexOf(open as (typeof TABS)[number]) + by + TABS.length) % TABS.length;
    setOpen(TABS[at]!);
    list.current?.querySelectorAll("button")[at]?.focus();
  };
  return (
    <>
      <div class="tabs" role="tablist" aria-label="More about this job" ref={list} onKeyDown={move}>
        {TABS.map((tab) => (
          <button
            key={tab}
            type="button"
            role="tab"
            id={`tab-${tab}`}
            aria-selected={tab === open}
            aria-controls="tab"
            tabIndex={tab === open ? 0 : -1}
            onClick={() => setOpen(tab)}
          >
            {tab}
          </button>
        ))}
      </div>
      <div role="tabpanel" id="tab" aria-labelledby={`tab-${open}`} tabIndex={0}>
        {open === "Events" && <Events job={job} />}
        {open === "Log" && <Log job={job} />}
        {open === "Dataset report" && <Report job={job} />}
        {open === "Settings" && <Settings job={job} />}
      </div>
    </>
  );
}

function Events({ job }: { job: FullJob }) {
  const client = useClient();
  const every = moves(job.status) ? 3_000 : null;
  const live = useLive((options) => client.fineTuning.jobs.events.list(job.id, { limit: 100 }, options), every, [
    client,
    job.id,
    job.status,
  ]);
  return (
    <Shown live={live}>
      {(events) =>
        events.length === 0 ? (
          <Empty title="Nothing has happened yet." />
        ) : (
          <Table name="Events" heads={["When", "Level", "What"]}>
            {events.map((event) => (
              <tr key={event.id}>
                <td>
                  <When time={event.createdAt} />
                </td>
                <td>{event.level}</td>
                <td>{event.message}</td>
              </tr>
            ))}
          </Table>
        )
      }
    </Shown>
  );
}

function Log({ job }: { job: FullJob }) {
  const client = useClient();
  const every = moves(job.status) ? 3_000 : null;
  const live = useLive((options) => client.fineTuning.jobs.logs(job.id, { lines: 500 }, options), every, [
    client,
    job.id,
    job.status,
  ]);
  return (
    <Shown live={live}>
      {({ logs }) =>
        logs.length === 0 ? (
          <Empty title="The log is empty.">Lines come once the machine has started.</Empty>
        ) : (
          <pre tabIndex={0} aria-label="Log">
            {logs.map((line) => `${line.timestamp} ${line.level} ${line.message}`).join("\n")}
          </pre>
        )
      }
    </Shown>
  );
}

function Report({ job }: { job: FullJob }) {
  // Datasets from elsewhere have no file of the platform's.
  if (!job.trainingDataset.startsWith("file-")) {
    return <Empty title="This dataset was not uploaded here, so there is no report of it." />;
  }
  return <FileReport id={job.trainingDataset} />;
}

function FileReport({ id }: { id: string }) {
  const client = useClient();
  const live = useLive((options) => client.files.report(id, options), null, [client, id]);
  return (
    <Shown live={live}>
      {(report) => (
        <>
          <Facts
            rows={[
              ["File", report.filename],
              ["Format", report.format],
              ["Rows", number(report.rows)],
              ["Bad lines", number(report.badLines)],
              ["Warnings", number(report.warningsCount)],
              ["Tokens", number(report.tokens)],
              ["Longest row", `${number(report.longestRowTokens)} tokens`],
            ]}
          />
          {report.findings.length === 0 ? (
            <p>Nothing is wrong with this file.</p>
          ) : (
            <Table name="Findings" heads={["Line", "Level", "Where", "What", "Fix"]}>
              {report.findings.map((one, at) => (
                <tr key={at}>
                  <td>{one.line}</td>
                  <td>{one.level}</td>
                  <td>
                    <code>{one.pointer}</code>
                  </td>
                  <td>{one.message}</td>
                  <td>{one.fix}</td>
                </tr>
              ))}
            </Table>
          )}
        </>
      )}
    </Shown>
  );
}

function Settings({ job }: { job: FullJob }) {
  const { hyperparameters, method, hardware, attempt, baseModel, trainingFile, startFrom } = job;
  return <Json value={{ baseModel, method, hardware, attempt, trainingFile, startFrom, hyperparameters }} />;
}
