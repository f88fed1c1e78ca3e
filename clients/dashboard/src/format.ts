/** Numbers and times as people read them. */

const DASH = "–";

/** Dollars, with more places where there is little. */
export function money(amount: number | null | undefined): string {
  if (amount == null) return DASH;
  const places = amount !== 0 && Math.abs(amount) < 1 ? 4 : 2;
  return `${amount < 0 ? "-" : ""}$${Math.abs(amount).toFixed(places)}`;
}

export function cents(amount: number | null | undefined): string {
  return amount == null ? DASH : money(amount / 100);
}

export function number(value: number | null | undefined, places = 0): string {
  return value == null ? DASH : value.toLocaleString("en-US", { maximumFractionDigits: places });
}

export function loss(value: number | null | undefined): string {
  return value == null ? DASH : value.toFixed(4);
}

export function bytes(value: number | null | undefined): string {
  if (value == null) return DASH;
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = value > 0 ? Math.min(Math.floor(Math.log10(value) / 3), units.length - 1) : 0;
  return `${number(value / 1000 ** step, step ? 1 : 0)} ${units[step]}`;
}

export function duration(seconds: number | null | undefined): string {
  if (seconds == null) return DASH;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** How long ago, as seen at `now`; times are ISO or, as on OpenAI's routes, seconds since 1970. */
export function ago(time: string | number | null | undefined, now: number = Date.now()): string {
  const at = milliseconds(time);
  if (at === null) return DASH;
  const seconds = (now - at) / 1000;
  if (seconds < 0) return `in ${coarse(-seconds)}`;
  return seconds < 5 ? "just now" : `${coarse(seconds)} ago`;
}

/** The whole time, in the reader's own zone. */
export function moment(time: string | number | null | undefined): string {
  const at = milliseconds(time);
  return at === null ? DASH : new Date(at).toLocaleString();
}

export function milliseconds(time: string | number | null | undefined): number | null {
  if (time == null || time === "") return null;
  const at = typeof time === "number" ? time * 1000 : Date.parse(time);
  return Number.isNaN(at) ? null : at;
}

function coarse(seconds: number): string {
  for (const [unit, length] of [
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
  ] as const) {
    if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}
