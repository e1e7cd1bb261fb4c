/** Whether probabilities mean what they say. */
import type { Quality } from "../../client/index.ts";
import { count, percent } from "../model/say.ts";
import { Meter } from "../parts/meter.tsx";

export function Calibration({ quality: { calibration, judged } }: { readonly quality: Quality }) {
  const gap =
    calibration.reduce((sum, { judged, right, meanScore }) => sum + Math.abs(right - meanScore * judged), 0) /
    Math.max(1, judged);
  return (
    <section class="card">
      <h2>How sure is it?</h2>
      <p class="quiet">
        Where it says 80 %, eight of ten should be right. On {count(judged, "held-out text")} what it says and
        what is right are {percent(gap)} apart.
      </p>
      <table class="cards">
        <thead>
          <tr>
            <th scope="col">It says</th>
            <th scope="col" class="number">
              Texts
            </th>
            <th scope="col">Right</th>
          </tr>
        </thead>
        <tbody>
          {calibration.toReversed().map(({ from, to, judged, right }) => (
            <tr key={from}>
              <th scope="row">
                {Math.round(100 * from)} to {Math.round(100 * to)} %
              </th>
              <td class="number" data-name="Texts">
                {judged.toLocaleString("en")}
              </td>
              <td data-name="Right">
                <span class="share">
                  <Meter value={right / judged} />
                  {percent(right / judged)}
                </span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
