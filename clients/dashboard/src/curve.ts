/** A loss curve as arrays for a chart, and in one sentence for whoever does not see it. */

export interface Step {
  step: number;
  trainingLoss: number | null;
  validationLoss: number | null;
}

/** Steps, training losses, validation losses: in order, one entry per step. */
export type Curve = [number[], (number | null)[], (number | null)[]];

export function curveOf(steps: readonly Step[]): Curve {
  const rows = [...steps].sort((one, other) => one.step - other.step);
  return [rows.map((row) => row.step), rows.map((row) => row.trainingLoss), rows.map((row) => row.validationLoss)];
}

export function spoken([steps, training, validation]: Curve): string {
  const known = training.filter((value) => value !== null);
  const [first, last] = [known[0], known.at(-1)];
  if (first === undefined || last === undefined) return "No losses yet.";
  const way = last < first ? "fell" : last > first ? "rose" : "stayed";
  const told = `Training loss ${way} from ${first.toFixed(3)} to ${last.toFixed(3)} by step ${steps.at(-1)}.`;
  const checked = validation.filter((value) => value !== null).at(-1);
  return checked === undefined ? told : `${told} Validation loss is ${checked.toFixed(3)}.`;
}

/** The points of an SVG polyline, scaled into a box; empty where there are not two. */
export function points(values: readonly (number | null)[], width: number, height: number): string {
  const known = values.filter((value): value is number => value !== null && Number.isFinite(value));
  if (known.length < 2) return "";
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const place = (value: number, at: number): string => {
    const x = (at / (known.length - 1)) * width;
    const y = high === low ? height / 2 : height - ((value - low) / (high - low)) * height;
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  };
  return known.map(place).join(" ");
}
