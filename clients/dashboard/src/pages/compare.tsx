/** Models side by side: a row for each thing that was measured, a column for each model. */

import { compared } from "../comparison.js";
import { useLive } from "../live.js";
import { Empty, Heading, Shown, Table } from "../parts.js";
import { href } from "../route.js";
import { useClient } from "../session.js";

export function Compare({ query }: { query: URLSearchParams }) {
  const client = useClient();
  const models = (query.get("models") ?? "").split(",").filter(Boolean);
  const live = useLive(
    // Asked once: it changes nothing, but goes by POST.
    (options) => client.training.models.compare({ models }, options),
    (seen) => (seen.pending.length ? 5_000 : null),
    [client, models.join()],
  );
  return (
    <>
      <Heading title="Comparison">
        <a class="button" href={href("models")}>
          Other models
        </a>
      </Heading>
      {models.length < 2 ? (
        <Empty title="Two models or more are compared.">
          <a href={href("models")}>Choose them</a>
        </Empty>
      ) : (
        <Shown live={live}>
          {(found) => {
            const rows = compared(found.models);
            return (
              <>
                <Table
                  name="Comparison"
                  heads={["Measured", ...found.models.map((one) => `${one.name} ${one.version}`)]}
                >
                  {rows.map((row) => (
                    <tr key={row.name}>
                      <th scope="row">{row.name}</th>
                      {row.values.map((value, at) => (
                        <td key={at}>{value}</td>
                      ))}
                    </tr>
                  ))}
                </Table>
                {rows.length === 0 && <p class="quiet">Nothing was measured of these models yet.</p>}
                {found.recommendations.map((said) => (
                  <p key={said}>{said}</p>
                ))}
              </>
            );
          }}
        </Shown>
      )}
    </>
  );
}
