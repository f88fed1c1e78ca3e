/** Loss curves: one to read, one to glance at. */

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { type Curve, curveOf, points, spoken, type Step } from "./curve.js";
import { loss } from "./format.js";
import { Table } from "./parts.js";

const HEIGHT = 260;

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function drawn(element: HTMLElement, curve: Curve): uPlot {
  const axis: uPlot.Axis = {
    stroke: colour("--quiet"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
  };
  const line = (label: string, stroke: string, extra: Partial<uPlot.Series> = {}): uPlot.Series => {
    return { label, stroke: colour(stroke), width: 2, spanGaps: true, ...extra };
  };
  const series = [
    { label: "Step" },
    line("Training loss", "--accent"),
    line("Validation loss", "--second", { dash: [6, 4] }),
  ];
  const size = { width: element.clientWidth, height: HEIGHT };
  return new uPlot(
    { ...size, scales: { x: { time: false } }, series, axes: [axis, { ...axis, size: 60 }] },
    curve,
    element,
  );
}

export function LossChart({ steps }: { steps: readonly Step[] }) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const curve = curveOf(steps);
  const latest = useRef(curve);
  latest.current = curve;

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const draw = (): void => {
      chart.current?.destroy();
      chart.current = drawn(element, latest.current);
    };
    draw();
    // Colours are read once per drawing.
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    const watch = new ResizeObserver(() => chart.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      scheme.removeEventListener("change", draw);
      chart.current?.destroy();
    };
  }, []);
  const shape = `${steps.length} ${steps.at(-1)?.step} ${steps.at(-1)?.trainingLoss} ${steps.at(-1)?.validationLoss}`;
  useEffect(() => chart.current?.setData(curve), [shape]);

  return (
    <figure class="curve">
      <div ref={box} role="img" aria-label={spoken(curve)} data-points={steps.length} />
      <figcaption>{spoken(curve)}</figcaption>
      {steps.length > 0 && (
        <details>
          <summary>The numbers</summary>
          <Table name="Losses by step" heads={["Step", "Training loss", "Validation loss"]}>
            {steps.map((row) => (
              <tr key={row.step}>
                <td>{row.step}</td>
                <td>{loss(row.trainingLoss)}</td>
                <td>{loss(row.validationLoss)}</td>
              </tr>
            ))}
          </Table>
        </details>
      )}
    </figure>
  );
}

export function Spark({ steps }: { steps: readonly Step[] }) {
  const curve = curveOf(steps);
  const line = points(curve[1], 96, 24);
  if (!line) return <span class="quiet">–</span>;
  return (
    <svg
      class="spark"
      viewBox="-1 -1 98 26"
      width={98}
      height={26}
      role="img"
      aria-label={spoken(curve)}
      data-points={steps.length}
    >
      <polyline points={line} />
    </svg>
  );
}
