/** Two spellings of a name: `learningRate`, as JavaScript writes it, and `learning_rate`, as most routes do. */

export function snake(name: string): string {
  return name.replace(/(?<=[a-z0-9])[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

export function camel(name: string): string {
  return name.replace(/(?<=[a-z0-9])_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** What is sent for `value`; `snakes`: the route's snake_case names, dotted where nested. Others stay as they are. */
export function onTheWire(value: unknown, snakes: readonly string[], place = ""): unknown {
  if (Array.isArray(value)) return value.map((inner) => onTheWire(inner, snakes, place));
  if (!isPlain(value)) return value;
  const sent = Object.entries(value).map(([name, inner]) => {
    const wire = snakes.includes(place + snake(name)) ? snake(name) : name;
    return [wire, onTheWire(inner, snakes, `${place}${wire}.`)];
  });
  return Object.fromEntries(sent);
}

/**
 * Let every name of an answer be read in camelCase too, however deep: also names that a newer server adds. The second
 * spelling is not enumerable, so that printing, comparing and writing show what the server sent.
 */
export function readable<T>(value: T): T {
  if (Array.isArray(value)) value.forEach(readable);
  if (!isPlain(value)) return value;
  for (const [name, inner] of Object.entries(value)) {
    readable(inner);
    const other = camel(name);
    if (!Object.hasOwn(value, other)) Object.defineProperty(value, other, { value: inner });
  }
  return value;
}
