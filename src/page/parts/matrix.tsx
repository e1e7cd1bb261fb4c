/** Accuracies after each task, on each task: a table whose cells are the darker the better. */
import { percent } from "../model/say.ts";
import { Scroll } from "./scroll.tsx";

interface Props {
  readonly names: readonly string[];
  readonly rows: readonly (readonly (number | null)[])[];
}

/** Five steps, so that colours come from the stylesheet. */
const stepOf = (value: number) => Math.min(4, Math.floor(value * 5));

export function Matrix({ names, rows }: Props) {
  return (
    <Scroll label="Accuracies after each task, on each task">
      <table class="grid matrix">
        <thead>
          <tr>
            <th scope="col">After</th>
            {names.map((name) => (
              <th scope="col" key={name} class="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {names.map((name, k) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              {names.map((other, j) => {
                const value = rows[k]?.[j];
                const isKnown = value !== null && value !== undefined;
                return (
                  <td key={other} class={isKnown ? `number heat-${stepOf(value)}` : "number quiet"}>
                    {isKnown ? percent(value) : "–"}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
