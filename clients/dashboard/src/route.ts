/** Addresses within the page: `#/jobs/ftjob_1?tab=logs`. */

export interface Route {
  page: string;
  id: string | null;
  query: URLSearchParams;
}

export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#?\/?/, "").split("?", 2);
  const [page, ...rest] = path.split("/");
  return { page: page || "jobs", id: rest.length ? decoded(rest.join("/")) : null, query: new URLSearchParams(query) };
}

export function href(page: string, id?: string | null, query: Record<string, string> = {}): string {
  const told = new URLSearchParams(query).toString();
  return `#/${page}${id ? `/${encodeURIComponent(id)}` : ""}${told ? `?${told}` : ""}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Somebody typed a stray percent sign.
    return text;
  }
}
