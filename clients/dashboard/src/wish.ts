/** The request for a job that a form asks for; what was left empty is left to the platform. */

export interface Values {
  get(name: string): unknown;
}

const NUMBERS = ["epochs", "learningRate", "batchSize"];

export function wishOf(values: Values, file: string): Record<string, unknown> {
  const text = (name: string): string => String(values.get(name) ?? "").trim();
  const given = NUMBERS.filter((name) => text(name) !== "").map((name) => [name, Number(text(name))]);
  return {
    name: text("name"),
    baseModel: text("baseModel"),
    trainingDataset: file,
    method: text("method") || "sft",
    ...(text("suffix") && { suffix: text("suffix") }),
    ...(text("maxCost") && { maxCost: Number(text("maxCost")) }),
    ...(given.length > 0 && { hyperparameters: Object.fromEntries(given) }),
  };
}
