/** A comparison turned into rows: one for each metric that any of the models has. */

export interface Measured {
  metrics: unknown;
  benchmarks: unknown;
}

export interface Row {
  name: string;
  values: string[];
}

export function compared(models: readonly Measured[]): Row[] {
  const each = models.map((model) => new Map([...flat(model.metrics), ...flat(model.benchmarks)]));
  const names = [...new Set(each.flatMap((one) => [...one.keys()]))];
  return names.map((name) => ({ name: name.replaceAll("_", " "), values: each.map((one) => one.get(name) ?? "–") }));
}

function flat(value: unknown, place = ""): [string, string][] {
  if (value === null || value === undefined) return [];
  if (typeof value !== "object")
    return [[place, typeof value === "number" ? String(Number(value.toPrecision(5))) : String(value)]];
  return Object.entries(value).flatMap(([name, inner]) => flat(inner, place ? `${place} · ${name}` : name));
}
